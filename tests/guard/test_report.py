"""A guard's report tells of each stream what was read of it, or that nothing is known."""

import time

from service.guard.cursor import Position
from service.guard.report import Report
from service.guard.revocations import shards
from service.guard.stream import Stream
from service.redis.guard_position import NOTHING, About, unpack


def test_streams_that_have_moved_since_the_last_look() -> None:
    """Each is told, however many they are; of one that is incomplete or foreign, nothing."""
    streams = [
        Stream(number, shard, lambda *_: None)
        for number, shard in enumerate(shards(960.0, time.monotonic()))
    ]
    for stream in streams:
        stream.is_ours = True
    report = Report(streams, About)

    def told() -> dict[int, tuple[int, int]]:
        report.look()
        said = unpack(report.packed())
        assert said is not None
        return {bucket: at for bucket, at in enumerate(said[0]) if at != NOTHING}

    assert told() == {}
    for bucket in (3, 5, 63):
        streams[bucket].take([(Position(b"7-0", 1), b"s" * 12)])
    assert told() == {3: (1, 7), 5: (1, 7), 63: (1, 7)}
    streams[3].set_incomplete(60)
    streams[5].set_foreign()
    assert told() == {63: (1, 7)}
    assert not report.has_moved
