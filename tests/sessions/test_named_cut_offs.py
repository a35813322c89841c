"""Events of cut-offs name sessions while there are relying parties, who hear of each."""

import pytest
from tools.testbed.redis_server import RedisServer

from service.redis.keys import PARTIES
from tests.sessions.scripted import HOUR, INDEX, NAMES, Scripted, key, sid, told
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

MARK = NAMES.events + PARTIES.encode()
MANY = 150


def names(row: dict[str, str], field: str) -> set[str]:
    return set(row.get(field, "").split())


def hexed(*numbers: int) -> set[str]:
    return {sid(number).hex() for number in numbers}


@pytest.fixture
def marked(keys: RedisServer) -> None:
    """There are relying parties."""
    with keys.client() as client:
        client.set(MARK, b"", ex=60)


@pytest.mark.usefixtures("marked")
@pytest.mark.parametrize("kinds", [1, 2])
async def test_which_have_ended_and_which_stay(
    scripted: Scripted, keys: RedisServer, kinds: int
) -> None:
    """Those that have lived, and none that had ended or expired before; nothing else changes."""
    scripted.kinds = kinds
    for number in range(1, 6):
        await scripted.open(number)
    await scripted.end(1)
    with keys.client() as client:
        client.delete(key(2))  # as when it expires: the index goes on naming it
        assert client.hexists(INDEX, sid(2))
    assert await scripted.end_all(keep_id=sid(5), reason="all", by="cli") == 2
    row = told(keys)[-1]
    assert (names(row, "sessions"), names(row, "kept")) == (hexed(3, 4), hexed(5))
    assert (row["count"], row["reason"], row["by"]) == ("2", "all", "cli")
    assert await scripted.end_all() == 1
    row = told(keys)[-1]
    assert (names(row, "sessions"), names(row, "kept")) == (hexed(5), set())
    assert await scripted.end_all() == 0
    assert told(keys)[-1] == row


@pytest.mark.usefixtures("marked")
async def test_none_twice_after_everybody(scripted: Scripted, keys: RedisServer) -> None:
    """What a cut-off of everybody has ended is no news; what was opened since is."""
    await scripted.open(1)
    await scripted.cut_off_everybody()
    scripted.clock.move(HOUR // 2)
    await scripted.open(2)
    assert await scripted.end_all() == 1
    assert names(told(keys)[-1], "sessions") == hexed(2)


@pytest.mark.usefixtures("marked")
async def test_of_many_it_is_not_known(scripted: Scripted, keys: RedisServer) -> None:
    """Which have ended; which stay is. That takes no longer than without parties."""
    for number in range(1, MANY + 1):
        await scripted.open(number, most=1_000)
    assert await scripted.end_all(keep_id=sid(7)) == MANY - 1
    row = told(keys)[-1]
    assert "sessions" not in row
    assert names(row, "kept") == hexed(7)


@pytest.mark.usefixtures("marked")
@pytest.mark.parametrize("count", [65, 128, 129])
async def test_how_many_are_named(scripted: Scripted, keys: RedisServer, count: int) -> None:
    """Up to 128, each; and nothing is left of them then."""
    for number in range(count):
        await scripted.open(number, most=1_000)
    assert await scripted.end_all() == count
    is_named = count <= 128
    assert names(told(keys)[-1], "sessions") == (hexed(*range(count)) if is_named else set())
    with keys.client() as client:
        assert bool(list(client.scan_iter(b"session:*"))) != is_named


async def test_without_parties_nothing_is_named(scripted: Scripted, keys: RedisServer) -> None:
    """The event is as small as it was."""
    for number in (1, 2):
        await scripted.open(number)
    await scripted.end_all(keep_id=sid(2))
    assert told(keys)[-1].keys() == {"type", "count", "reason"}
