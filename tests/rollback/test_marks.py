"""A Redis that has gone back and has lost no revocation is noticed by when it was last compared."""

from collections.abc import Awaitable, Callable

import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.redis.comparisons import Comparisons
from service.redis.keys import BUCKETS, numbered
from service.rollback import journal, marks
from tests.rollback.pod import Opened, Pod, Snapshot

TakeSnapshot = Callable[..., Snapshot]
NewPod = Callable[..., Awaitable[Pod]]

COMPARED = numbered(0).compared


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compared must be there at once, and is noted in each turn."""
    monkeypatch.setattr(marks, "_SURE", 0.0)
    monkeypatch.setattr(journal, "_NOTE_EVERY", 0.0)


async def compared(pod: Pod, keys: RedisServer) -> Comparisons:
    """Have a pod compare, and again, later."""
    comparisons = pod.rollback.comparisons(pod.link, "https://issuer.example", on=True)
    with keys.client() as client:
        before = len(client.xrange(COMPARED)) and client.xinfo_stream(COMPARED)["last-generated-id"]

        async def again() -> bool:
            await comparisons.look()
            return bool(client.xinfo_stream(COMPARED)["last-generated-id"] != before)

        await eventually(again)
    return comparisons


def floors(keys: RedisServer) -> list[bytes | None]:
    """Read up to when tickets do not count, in all buckets."""
    with keys.client() as client:
        return [client.get(numbered(bucket).ticket_floor) for bucket in range(BUCKETS)]


async def gone_back(pod: Pod, keys: RedisServer, snapshot: TakeSnapshot) -> Opened:
    """Let a server go back to before the last comparison of this pod, and nothing else."""
    session = await pod.open()
    await compared(pod, keys)
    before = snapshot()
    await compared(pod, keys)
    await pod.settle()
    before.put_back()
    return session


async def test_who_has_compared(pod: Pod, keys: RedisServer, snapshot: TakeSnapshot) -> None:
    """Codes and tickets of before count as used before the connection is; nobody else loses
    anything, and it is done once."""
    session = await gone_back(pod, keys, snapshot)
    assert floors(keys) == [None] * BUCKETS
    await pod.leave()
    assert await pod.lives(session) is True
    raised = floors(keys)
    assert None not in raised
    await pod.leave()
    assert await pod.lives(session) is True
    assert floors(keys) == raised


async def test_who_starts_afterwards(
    new_pod: NewPod, keys: RedisServer, snapshot: TakeSnapshot
) -> None:
    """It knows it from the user store, and all others may have gone."""
    writer = await new_pod()
    await gone_back(writer, keys, snapshot)
    late = await new_pod()
    assert await late.lives(await late.open()) is True
    raised = floors(keys)
    assert None not in raised
    await late.leave()
    await late.open()
    assert floors(keys) == raised
    await writer.settle()
    latest = await new_pod()
    await latest.open()
    assert floors(keys) == raised, "the journal's writer has noted that it is so"


async def test_what_is_no_loss(pod: Pod, keys: RedisServer) -> None:
    """Another comparison since, and none at all, as of a service that compares for nobody."""
    await compared(pod, keys)
    await pod.settle()
    with keys.client() as client:
        client.xadd(COMPARED, {"every": "500"})
        await pod.leave()
        await pod.open()
        client.delete(COMPARED)
        await pod.leave()
        await pod.open()
    assert floors(keys) == [None] * BUCKETS
