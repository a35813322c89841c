"""Sentinels that disagree, or know one server by two names: real ones, on real servers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import NetworkServer
from tools.testbed.sentinel import NAME, Sentinel
from tools.testbed.waiting import eventually, wait_until

from service.embedded.files import find_binary
from service.errors import StartupError, StoreRefuses, StoreUnavailable
from service.redis.client import RedisClient
from service.redis.keys import numbered
from service.redis.requirements import check_server
from service.settings import Secret
from tests.support.log_state import captured

KEY = b"session:{00}:x"
ISSUER = "https://ours.example"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NetworkServer]]:
    """Ours, and one of another deployment."""
    both = [
        NetworkServer(find_binary(), tmp_path_factory.mktemp(name)).start()
        for name in ("ours", "foreign")
    ]
    yield both
    for server in both:
        server.stop()


@pytest.fixture
def sentinels(tmp_path: Path, servers: list[NetworkServer]) -> Iterator[list[Sentinel]]:
    """Three that know ours, and none of the others, so that a lie stays one's own.

    The primary is called 127.0.0.1 by the first two and localhost by the third.
    """
    for server, name in zip(servers, ("ours", "foreign"), strict=True):
        with server.client() as client:
            client.flushall()
            client.set(KEY, name)
    three = [Sentinel(tmp_path / f"sentinel-{number}", servers[0], 30_000) for number in range(3)]
    for sentinel, host in zip(three, ("127.0.0.1", "127.0.0.1", "localhost"), strict=True):
        configure(sentinel, servers[0], epoch=5, host=host)
        sentinel.start()
        with sentinel.client() as client:
            client.execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", 100)
    yield three
    for sentinel in three:
        sentinel.stop()


def configure(sentinel: Sentinel, server: NetworkServer, *, epoch: int, host: str) -> None:
    """Have it monitor `server` since this epoch. Takes effect at its start."""
    file = sentinel.directory / "sentinel.conf"
    file.write_text(
        f"port {sentinel.port}\nbind 127.0.0.1\n"
        "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n"
        f"sentinel monitor {NAME} {host} {server.port} 2\n"
        f"sentinel down-after-milliseconds {NAME} 30000\n"
        f"sentinel config-epoch {NAME} {epoch}\n"
    )


def lie(sentinel: Sentinel, server: NetworkServer) -> None:
    """Have it call `server` primary since epoch 99."""
    sentinel.stop()
    configure(sentinel, server, epoch=99, host="127.0.0.1")
    sentinel.start()


def url_of(sentinels: list[Sentinel]) -> Secret:
    addresses = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
    return Secret(f"redis+sentinel://{addresses}/{NAME}")


@pytest.fixture
async def redis_client(sentinels: list[Sentinel]) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(url_of(sentinels), timing=PATIENTLY, issuer=ISSUER)
    yield redis_client
    await redis_client.aclose()


async def looked(sentinel: Sentinel, times: int) -> None:
    """Wait until the link has asked it so often more: each time by a new connection."""
    with sentinel.client() as client:

        def connections() -> int:
            return int(client.info("stats")["total_connections_received"])

        before = connections()
        await eventually(lambda: asyncio.sleep(0, connections() >= before + times))


async def test_one_primary_under_two_names(
    sentinels: list[Sentinel], redis_client: RedisClient
) -> None:
    """Whoever is asked, and whatever answers come: it is one server, and nothing fails over."""
    with captured() as logs:
        assert await redis_client.execute("GET", KEY) == b"ours"
        sentinels[0].stop()  # so that there is no majority for either name
        await looked(sentinels[2], 4)
        assert await redis_client.execute("GET", KEY) == b"ours"
        newcomer = RedisClient(url_of(sentinels), timing=PATIENTLY, issuer=ISSUER)
        assert await newcomer.execute("GET", KEY) == b"ours"
        await newcomer.aclose()
    assert [line["event"] for line in logs if line["event"] == "redis.failover"] == []


async def test_a_made_up_epoch(
    servers: list[NetworkServer], sentinels: list[Sentinel], redis_client: RedisClient
) -> None:
    """One of three leads nobody to a foreign server, neither who is there nor who comes new."""
    assert await redis_client.execute("GET", KEY) == b"ours"
    lie(sentinels[0], servers[1])
    with captured() as logs:
        await looked(sentinels[0], 4)
        assert await redis_client.execute("GET", KEY) == b"ours"
        newcomer = RedisClient(url_of(sentinels), timing=PATIENTLY)
        assert await newcomer.execute("GET", KEY) == b"ours"
        await newcomer.aclose()
    assert [line["event"] for line in logs if "sentinel" in line["event"]] == [
        "redis.sentinelOutvoted"
    ]


async def test_the_only_one_that_answers(
    servers: list[NetworkServer], sentinels: list[Sentinel], redis_client: RedisClient
) -> None:
    """It leads nobody away; who comes new believes it only where the feed bears our mark."""
    assert await redis_client.execute("GET", KEY) == b"ours"
    lie(sentinels[0], servers[1])
    sentinels[1].stop()
    sentinels[2].stop()
    await looked(sentinels[0], 4)
    assert await redis_client.execute("GET", KEY) == b"ours"
    newcomer = RedisClient(url_of(sentinels), issuer=ISSUER, timing=PATIENTLY)
    with pytest.raises(StoreUnavailable):
        await newcomer.execute("GET", KEY)
    with servers[1].client() as client:
        client.xadd(numbered(0).issuer, {"iss": ISSUER})

    async def believed() -> bool:
        with suppress(StoreUnavailable):
            return bool(await newcomer.execute("GET", KEY) == b"foreign")
        return False

    await eventually(believed)
    await newcomer.aclose()


async def test_a_majority_that_names_a_foreign_server(
    servers: list[NetworkServer], sentinels: list[Sentinel], redis_client: RedisClient
) -> None:
    """Its feed bears another's mark: nothing is asked of it, and both issuers are told."""
    assert await redis_client.execute("GET", KEY) == b"ours"
    with servers[1].client() as client:
        client.xadd(numbered(0).issuer, {"iss": "https://theirs.example"})
    for sentinel in sentinels[:2]:
        lie(sentinel, servers[1])

    async def refused() -> bool:
        try:
            return not await redis_client.execute("GET", KEY)
        except StoreRefuses as refusal:
            told = str(refusal)
            return refusal.refusal == "foreign" and ISSUER in told and "theirs.example" in told
        except StoreUnavailable:
            return False

    await eventually(refused)


async def test_the_first_news_of_a_failover(
    tmp_path: Path,
    servers: list[NetworkServer],
    sentinels: list[Sentinel],
    redis_client: RedisClient,
) -> None:
    """One Sentinel is enough, where the server it names goes on from where ours was."""
    ours = servers[0]
    follow = ("--replicaof", f"127.0.0.1 {ours.port}", "--repl-diskless-sync-delay", "0")
    replica = NetworkServer(find_binary(), tmp_path / "replica", *follow)
    replica.start()
    try:
        with replica.client() as client:
            wait_until(lambda: client.get(KEY) == b"ours")
            # Once it has a replica: without one a primary begins a history anew at any time.
            assert await redis_client.execute("GET", KEY) == b"ours"
            client.replicaof("NO", "ONE")
            client.set(KEY, "promoted")
        sentinels[1].stop()
        sentinels[2].stop()
        lie(sentinels[0], replica)

        async def followed() -> bool:
            try:
                return bool(await redis_client.execute("GET", KEY) == b"promoted")
            except StoreUnavailable:  # whoever waits for a reply at that moment does not get it
                return False

        await eventually(followed)
    finally:
        replica.stop()


@pytest.mark.parametrize(
    ("password", "given", "told"),
    [
        ("right", "?sentinel_password=s3cret", "does not take sentinel_username and"),
        ("right", "?sentinel_username=x&sentinel_password=s3cret", "does not take"),
        ("right", "", "asks for a password: sentinel_password"),
        ("", "?sentinel_username=x&sentinel_password=s3cret", "does not take"),
    ],
)
async def test_sentinels_that_refuse_us(
    sentinels: list[Sentinel], password: str, given: str, told: str
) -> None:
    """It is not told as an outage: all of them do, so the start is refused, and no password shown.
    One that takes us is enough."""
    if password:
        for sentinel in sentinels:
            with sentinel.client() as client:
                client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{password}")
    url = Secret(url_of(sentinels).reveal() + given)
    redis_client = RedisClient(url, timing=PATIENTLY)
    with pytest.raises(StoreRefuses, match=told) as refused:
        await redis_client.execute("GET", KEY)
    assert (refused.value.refusal, refused.value.permanent) == ("user", True)
    with pytest.raises(StartupError, match=f"^SERVICE_REDIS_URL: A Sentinel .*{told}") as stopped:
        await check_server(url, timing=PATIENTLY)
    assert "s3cret" not in str(stopped.value) + str(refused.value)
    sentinels[0].stop()
    with pytest.raises(StoreRefuses) as refused:
        await redis_client.execute("GET", KEY)
    assert not refused.value.permanent, "the one that is away may take us"
    await redis_client.aclose()


async def test_sentinels_of_another_primary(sentinels: list[Sentinel]) -> None:
    """They know none of the name in the URL: it is told, and may pass."""
    addresses = url_of(sentinels).reveal().removesuffix(NAME)
    redis_client = RedisClient(Secret(f"{addresses}nosuch"), timing=PATIENTLY)
    with pytest.raises(StoreRefuses, match="knows no primary 'nosuch'") as refused:
        await redis_client.execute("GET", KEY)
    assert not refused.value.permanent
    await redis_client.aclose()
