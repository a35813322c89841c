"""Sentinels that disagree: a majority of those in the URL decides, whatever one of them says."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tools.testbed.issuer import Issuer
from tools.testbed.parts import Parts
from tools.testbed.redis_server import NetworkServer
from tools.testbed.sentinel import NAME, Sentinel, SentinelTrio
from tools.testbed.waiting import eventually

from service.embedded.files import find_binary
from service.guard import Verifier
from service.guard.sentinels import NoPrimary, Sentinels
from service.redis.client import RedisClient
from service.redis.feed_marking import FeedMarking
from service.redis.url import RedisUrl
from tests.guard.guards import ISSUER, Guards, log_out, parts_at, refuses, settled, verdict
from tests.support.run_queue import Stopwatch
from tests.support.silent_peer import silent_peer

USER = bytes(16)
BOUND = timedelta(seconds=2)


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelTrio]:
    trio = SentinelTrio(tmp_path_factory.mktemp("trio")).start()
    yield trio
    trio.stop()


@pytest.fixture
async def parts(trio: SentinelTrio) -> AsyncIterator[Parts]:
    trio.heal()
    async with parts_at(trio.url) as parts:
        yield parts


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkServer]:
    """A server that is none of theirs."""
    server = NetworkServer(find_binary(), tmp_path_factory.mktemp("stranger")).start()
    yield server
    server.stop()


@pytest.fixture
def rogue(tmp_path: Path, stranger: NetworkServer) -> Iterator[Sentinel]:
    """A Sentinel with a made-up epoch, which calls the stranger primary."""
    sentinel = Sentinel(tmp_path / "rogue", stranger, 1500)
    configuration = tmp_path / "rogue" / "sentinel.conf"
    with configuration.open("a") as file:
        file.write(f"sentinel config-epoch {NAME} 99\nsentinel current-epoch 99\n")
    sentinel.start()
    yield sentinel
    sentinel.stop()


def url_of(*sentinels: Sentinel) -> str:
    return f"redis+sentinel://{','.join(f'127.0.0.1:{it.port}' for it in sentinels)}/{NAME}"


async def test_a_made_up_epoch(
    trio: SentinelTrio,
    parts: Parts,
    issuer: Issuer,
    rogue: Sentinel,
    stranger: NetworkServer,
) -> None:
    """One of three, the first to be asked, and on a server that even bears the mark: outvoted."""
    redis_client = RedisClient(stranger.url)
    await FeedMarking(redis_client, ISSUER).mark("all")
    await redis_client.aclose()
    url = url_of(rogue, *trio.sentinels[:2])
    async with Guards(issuer, url) as guards:
        feed, strict = await guards.start(bound=BOUND), await guards.start(mode="strict")
        pair, living = await parts.open(USER), await parts.open(USER)
        for each in (feed, strict):
            assert await settled(each, living.access_token) == "accepted"
        await log_out(parts, pair)
        for each in (feed, strict):
            await eventually(lambda each=each: refuses(each, pair.access_token))
            assert await settled(each, living.access_token) == "accepted"
        trio.sentinels[0].kill()  # one against one: nobody can say who is right

        async def unavailable() -> bool:
            told = [await verdict(each, living.access_token) for each in (feed, strict)]
            return told == ["unavailable"] * 2

        await eventually(unavailable)
        assert await refuses(feed, pair.access_token)
        trio.sentinels[0].start()
        await eventually(lambda: accepts(feed, living.access_token))


async def accepts(guard: Verifier, token: str) -> bool:
    return await verdict(guard, token) == "accepted"


async def test_without_the_mark_a_majority_does_not_help(
    trio: SentinelTrio, parts: Parts, issuer: Issuer, rogue: Sentinel, stranger: NetworkServer
) -> None:
    """All that are named lead to a stranger: it does not bear the mark, so nobody is let in."""
    with stranger.client() as client:
        client.flushall()
    ended = await parts.open(USER)
    await log_out(parts, ended)
    async with Guards(issuer, url_of(rogue)) as guards:
        for options in ({"when_lost": "closed"}, {"when_lost": "ask"}, {"mode": "strict"}):
            guard = await guards.start(bound=BOUND, **options)
            assert await verdict(guard, ended.access_token) == "unavailable"


async def test_a_few_that_hang_or_are_none(trio: SentinelTrio, stranger: NetworkServer) -> None:
    """A majority is heard without waiting for the rest; what is no Sentinel has no vote."""
    trio.heal()
    port = trio.primary().port
    with silent_peer() as silent:
        hosts = [("127.0.0.1", it.port) for it in trio.sentinels]
        silent_host = ("127.0.0.1", int(silent.rpartition(":")[2]))
        for others in ([silent_host], [("127.0.0.1", stranger.port)], [("127.0.0.1", 1)]):
            listed = ",".join(f"{host}:{port_}" for host, port_ in [*others, *hosts[:2]])
            sentinels = Sentinels(RedisUrl.parse(f"redis+sentinel://{listed}/{NAME}"), 2.0)
            for _ in range(3):
                since = Stopwatch()
                assert await sentinels.primary() == ("127.0.0.1", port)
                assert since.own < 1.5
            await sentinels.aclose()
            listed = ",".join(f"{host}:{port_}" for host, port_ in [*others, hosts[0]])
            sentinels = Sentinels(RedisUrl.parse(f"redis+sentinel://{listed}/{NAME}"), 0.3)
            with pytest.raises(NoPrimary):
                await sentinels.primary()
            await sentinels.aclose()


async def test_one_primary_under_two_names(tmp_path: Path, stranger: NetworkServer) -> None:
    """Two of three call it by different names: they are a majority, and it keeps the first name."""
    sentinels = [Sentinel(tmp_path / f"sentinel-{number}", stranger, 30_000) for number in range(2)]
    for sentinel, host in zip(sentinels, ("127.0.0.1", "localhost"), strict=True):
        (tmp_path / sentinel.directory / "sentinel.conf").write_text(
            f"port {sentinel.port}\nbind 127.0.0.1\n"
            "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n"
            f"sentinel monitor {NAME} {host} {stranger.port} 2\n"
        )
        sentinel.start()
    url = RedisUrl.parse(url_of(*sentinels).replace("://", "://127.0.0.1:1,"))
    asking = Sentinels(url, 2.0)

    async def answered() -> bool:
        try:
            return bool(await asking.primary())
        except NoPrimary:  # they have not been told its run id yet
            return False

    await eventually(answered)
    assert len({await asking.primary() for _ in range(20)}) == 1
    await asking.aclose()
    for sentinel in sentinels:
        sentinel.stop()


async def test_who_may_not_ask_for_the_epoch(trio: SentinelTrio) -> None:
    """A user of the Sentinels that may ask for the primary's address, and no more, suffices."""
    trio.heal()
    for sentinel in trio.sentinels:
        with sentinel.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-sentinel|master")
    sentinels = Sentinels(RedisUrl.parse(trio.url.reveal()), 2.0)
    try:
        assert await sentinels.primary() == ("127.0.0.1", trio.primary().port)
    finally:
        await sentinels.aclose()
        for sentinel in trio.sentinels:
            with sentinel.client() as client:
                client.execute_command("ACL", "SETUSER", "default", "+@all")


async def test_its_lines_are_kept(trio: SentinelTrio) -> None:
    """One to each, also where answers come one after the other."""
    trio.heal()
    sentinels = Sentinels(RedisUrl.parse(trio.url.reveal()), 2.0)
    await sentinels.primary()
    wires = dict(sentinels._wires)
    assert len(wires) == 3
    for _ in range(20):
        await sentinels.primary()
    assert sentinels._wires == wires
    await sentinels.aclose()
