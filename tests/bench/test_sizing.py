"""What is worked out from the figures; nothing is measured here."""

import pytest
from tools.bench.sizing import Costs, fullest, need

from service.redis.keys import BUCKETS

MICROSECONDS = 1e-6


def costs(session: float = 260, redis: float = 40) -> Costs:
    calls = ("logout", "me", "refresh")
    return Costs(
        session=session,
        event=140,
        worker=dict.fromkeys(calls, 250 * MICROSECONDS),
        redis=dict.fromkeys(calls, redis * MICROSECONDS),
        login=0.25,
    )


def test_memory_is_dealt_out_in_whole_tags() -> None:
    """260 GB are 4.06 GB a tag: six go into 25 GB, so eleven primaries hold all 64."""
    assert need(10**9, costs(session=260)).for_memory == 11
    assert need(10**6, costs(session=260)).for_memory == 1


def test_load_is_dealt_out_in_whole_tags() -> None:
    """A billion sessions keep 11.3 cores busy, 0.18 a tag: three go into 0.6 of a core."""
    found = need(10**9, costs(redis=40))
    assert found.redis_cores == pytest.approx(11.2, abs=0.1)
    assert found.for_load == 22


def test_more_than_one_tag_can_bear_is_told() -> None:
    """Where a single tag is too much for a primary, no number of primaries is named."""
    assert need(10**9, costs(session=26_000)).shards == 0


def test_equal_ranges_of_slots_are_uneven_in_tags() -> None:
    """One primary has all tags, and of several some has more than its share."""
    assert fullest(1) == BUCKETS
    assert fullest(16) > BUCKETS // 16
