"""What operators are told of guards: who is behind, who has lost the feed, and since when."""

import asyncio
import json
from argparse import Namespace
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.cli.guard_commands import _carry_out, run
from service.clock import system_clock
from service.confirmations.guard_positions import GuardPositions
from service.confirmations.status import GuardStatus, GuardStatuses
from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.guard_position import NOTHING, WIDTH, About
from service.redis.keys import BUCKETS, GUARD_LIFE, numbered
from service.settings import Settings
from service.web.metrics.guards import exposition_of
from tests.support.guard_reports import pack
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


HEAD = pack([NOTHING] * BUCKETS, About())[: 1 + BUCKETS * WIDTH]


async def test_a_liar_spoils_its_own_line_only(
    keys: RedisServer, statuses: GuardStatuses, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it writes: the others are listed, in JSON, a table and metrics, and it is not there
    for longer than any other."""
    write(keys, b"a" * 16, pack([NOTHING] * BUCKETS, About("honest", known_ms=900)))
    lies = [
        HEAD + b'{"x":' + b"[" * 1500 + b"]" * 1500 + b"}",
        HEAD + b'{"pod":"\xff\xfe"}',
        HEAD + b'{"pod":"\\ud800"}',
        HEAD + b'{"pod":"' + b"x" * 1_000_000 + b'"}',
        HEAD + b'{"pod":"big","knownMs":' + b"9" * 400 + b',"lostMs":' + b"9" * 400 + b"}",
        HEAD + b'{"pod":"u64","knownMs":18446744073709551615,"lostMs":18446744073709551615}',
        HEAD + b'{"pod":"below","knownMs":-9223372036854775808,"lostMs":-7}',
        HEAD + b'{"pod":"a\\u0000\\u001b[2J\\u202e\\"} 1","lostMs":NaN}',
        HEAD + b'{"pod":"a\\u0000\\u001b[2J\\u202e\\"} 1\\n","lostMs":1e3}',
        HEAD + b'{"pod":"a\\u0000\\u001b[2J\\u202e\\"} 1\\n"}',
        HEAD + b"[]",
        HEAD,
        b"",
        b"\2" * 900,
    ]
    for number, lie in enumerate(lies):
        write(keys, b"%016d" % number, lie, 10**12)
    found = await statuses.all()
    assert [each.pod for each in found] == ['a??[2J?"} 1?', "below", "big", "honest", "u64"]
    whole = {each.pod: each.feed_lost for each in found}
    assert whole == {
        'a??[2J?"} 1?': False,
        "below": False,
        "big": True,
        "honest": False,
        "u64": True,
    }
    documents = json.loads(msgspec.json.encode([each.document() for each in found]))
    assert all(abs(each["lagMs"]) < 2**53 for each in documents)
    told = exposition_of(found).decode()
    assert 'openshow_guard_lag_seconds{pod="honest"} 0.0' in told
    assert len(list(text_string_to_metric_families(told))) == 2
    for json_ in (False, True):
        settings = Settings(redis_url=keys.url)
        assert await asyncio.to_thread(run, settings, Namespace(watch=False, json=json_)) == 0
    assert not {"\x1b", "\0", "\u202e"} & set(capsys.readouterr().out)
    positions = await statuses._positions.positions([0])
    assert len(positions) == 12, "all but what is too long, and of another layout"
    with keys.client() as client:
        for key in client.scan_iter(NAMES.guard + b"*"):
            assert len(client.get(key)) <= 4096, "what is longer is done away with"
            assert 0 < client.pttl(key) <= GUARD_LIFE
        assert not client.hexists(NAMES.guards, b"%016d" % 3)


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


async def test_watching_goes_on_when_redis_is_away(
    keys: RedisServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so and tries again, and lists them when Redis is back; a plain list is refused."""
    write(keys, b"a" * 16, pack([NOTHING] * BUCKETS, About("app-1")))
    monkeypatch.setattr("service.cli.guard_commands._EVERY", 0.0)
    answers, all_ = iter([StoreUnavailable("Redis is away"), None]), GuardStatuses.all

    async def sometimes(self: GuardStatuses) -> list[GuardStatus]:
        answer = next(answers, KeyboardInterrupt())
        if answer is not None:
            raise answer
        return await all_(self)

    monkeypatch.setattr(GuardStatuses, "all", sometimes)
    settings = Settings(redis_url=keys.url)
    watching = Namespace(watch=True, json=False)
    with pytest.raises(KeyboardInterrupt):
        await _carry_out(settings, watching)
    said = capsys.readouterr()
    assert "app-1" in said.out
    assert said.err == "openshow-auth: Redis is away; trying again\n"
    answers = iter([StoreUnavailable("Redis is away")])
    with pytest.raises(StoreUnavailable):
        await _carry_out(settings, Namespace(watch=False, json=False))
