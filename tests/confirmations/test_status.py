"""What operators are told of guards: who is behind, who has lost the feed, and since when."""

import asyncio
import json
from argparse import Namespace
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.cli.guard_commands import run
from service.clock import system_clock
from service.confirmations.guard_positions import GuardPositions
from service.confirmations.status import GuardStatuses
from service.redis.client import RedisClient
from service.redis.guard_position import NOTHING, About, pack
from service.redis.keys import BUCKETS, GUARD_LIFE, numbered
from service.settings import Settings
from service.web.metrics.guards import exposition_of
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY
NAMES = numbered(0)


@pytest.fixture
async def statuses(keys: RedisServer) -> AsyncIterator[GuardStatuses]:
    redis = RedisClient(keys.url, timing=PATIENTLY)
    yield GuardStatuses(GuardPositions(redis), system_clock)
    await redis.aclose()


def write(keys: RedisServer, id_: bytes, line: bytes, left: int = GUARD_LIFE) -> None:
    with keys.client() as client:
        client.set(NAMES.guard + id_, line, px=left)
        client.hset(NAMES.guards, id_, b"")


async def test_each_guard_is_told_apart(keys: RedisServer, statuses: GuardStatuses) -> None:
    """Two of one pod, one of them behind; one whose feed is lost; one that lies; one that died."""
    with keys.client() as client:
        client.set(NAMES.revocations, 7)
    whole = [(7, 1_800_000_000_000), *[NOTHING] * (BUCKETS - 1)]
    write(keys, b"a" * 16, pack(whole, About("app-1", "1.2", "feed", "closed", 900)))
    write(keys, b"b" * 16, pack([NOTHING] * BUCKETS, About("app-1", known_ms=2000)), 14_000)
    write(keys, b"c" * 16, pack(whole, About("app-2", known_ms=60_000, lost_ms=50_000)))
    lie = About("\x1b[31m", known_ms=2**62, lost_ms=2**62)
    write(keys, b"d" * 16, pack([(2**50, 2**50)] * BUCKETS, lie))
    write(keys, b"e" * 16, b"\x01 no line")
    with keys.client() as client:
        client.hset(NAMES.guards, b"f" * 16, b"")
    liar, *found = await statuses.all()
    assert [(each.pod, each.id) for each in found] == [
        ("app-1", "61616161"), ("app-1", "62626262"), ("app-2", "63636363"),
    ]  # fmt: skip
    one, behind, lost = found
    assert (one.lag_ms, one.behind, one.feed_lost, one.lost_since) == (0, 0, False, None)
    assert behind.behind == 7
    assert 3000 <= behind.lag_ms < 10_000
    assert lost.lag_ms >= 50_000
    assert lost.lost_since is not None
    assert timedelta(seconds=50) <= system_clock() - lost.lost_since < timedelta(seconds=60)
    assert (liar.pod, liar.behind) == ("?[31m", 0)
    told = exposition_of([one, behind, lost]).decode()
    assert 'openshow_guards{feed="lost"} 1.0' in told
    assert 'openshow_guard_lag_seconds{pod="app-2"} 5' in told
    assert told.count('lag_seconds{pod="app-1"}') == 1


async def test_a_list_that_somebody_has_flooded_is_begun_anew(
    keys: RedisServer, statuses: GuardStatuses
) -> None:
    """And guards that live write themselves into it again."""
    with keys.client() as client:
        client.hset(NAMES.guards, mapping={b"%d" % n: b"" for n in range(5000)})
        assert await statuses.all() == []
        assert client.hlen(NAMES.guards) == 0


async def test_the_command_prints_them(
    keys: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people a table, for programs JSON; nothing that a guard says steers a terminal."""
    write(keys, b"a" * 16, pack([NOTHING] * BUCKETS, About("app\x1b-1", "1", "feed", "closed", 5)))
    settings = Settings(redis_url=keys.url)
    for json_ in (False, True):
        options = Namespace(watch=False, json=json_)
        assert await asyncio.to_thread(run, settings, options) == 0
    table, _, document = capsys.readouterr().out.rpartition("\n{")
    assert "app?-1  61616161  feed/closed" in table
    [guard] = json.loads("{" + document)["guards"]
    assert (guard["pod"], guard["mode"], guard["feedLost"], guard["lostSince"]) == (
        "app?-1", "feed", False, None,
    )  # fmt: skip
    assert guard["lastSeen"].endswith("Z")
