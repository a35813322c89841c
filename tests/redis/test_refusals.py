"""A Redis that answers and refuses, in each way that the servers know: what the caller is told."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import NetworkServer, available

from service.errors import StartupError, StoreRefuses, StoreUnavailable
from service.redis.client import RedisClient
from service.redis.node import accept_any
from service.redis.probe import probe, refuse_without_rights
from service.redis.requirements import check_server
from service.redis.scripts import Key, Keys, script
from service.redis.url import RedisUrl
from service.settings import Secret

KEY = b"session:{00}:x"


@script(text="redis.call('DEL', keys[1]) redis.call('SET', keys[1], 'new') return 1")
def delete_and_set(*, keys: Keys) -> Any: ...


@script(text="redis.call('SET', keys[1], 'new') return 1")
def set_alone(*, keys: Keys) -> Any: ...


@pytest.fixture(scope="module", params=available())
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NetworkServer]:
    """One of its own, with a password for the user `app` and none for `default`."""
    directory = tmp_path_factory.mktemp("refusing")
    server = NetworkServer(available()[request.param], directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: NetworkServer) -> Iterator["redis.Redis"]:
    """A client of the operator, who puts everything back afterwards."""
    with server.client() as client:
        client.set(KEY, "old")
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pass", "~*", "+@all")
        yield client
        client.replicaof("NO", "ONE")
        client.config_set("maxmemory", 0)
        client.config_set("min-replicas-to-write", 0)
        client.config_set("replica-serve-stale-data", "yes")


@pytest.fixture
async def redis_client(server: NetworkServer) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(
        Secret(f"redis://app:pass@127.0.0.1:{server.port}"), timing=PATIENTLY
    )
    yield redis_client
    await redis_client.aclose()


@pytest.mark.parametrize(
    ("commands", "refusal"),
    [
        (["CONFIG SET maxmemory 1"], "full"),
        (["CONFIG SET min-replicas-to-write 1"], "replicas"),
        (["REPLICAOF 127.0.0.1 1"], "read-only"),
        (["REPLICAOF 127.0.0.1 1", "CONFIG SET replica-serve-stale-data no"], "read-only"),
        (["ACL SETUSER app -eval -evalsha"], "user"),
        (["ACL SETUSER app -del"], "user"),
        (["ACL SETUSER app resetkeys ~other:*"], "user"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
async def test_a_state_in_which_nothing_is_changed(
    client: "redis.Redis", redis_client: RedisClient, commands: list[str], refusal: str
) -> None:
    """It is told which, and the key is as before."""
    # As a first step a DEL is free at any time.
    change = set_alone if "maxmemory 1" in commands[0] else delete_and_set
    for command in commands:
        client.execute_command(*command.split())
    with pytest.raises(StoreRefuses) as refused:
        await change(redis_client, keys=[KEY])
    assert refused.value.refusal == refusal
    client.config_set("replica-serve-stale-data", "yes")
    assert client.get(KEY) == b"old"


@pytest.mark.parametrize(
    ("url", "refusal"),
    [
        ("redis://app:s3cret@127.0.0.1:{}", "user"),
        ("redis://nobody:s3cret@127.0.0.1:{}", "user"),
        ("redis://app:pass@127.0.0.1:{}/99", "database"),
        ("redis://127.0.0.1:{}", "user"),
    ],
)
async def test_a_connection_that_is_refused(
    server: NetworkServer, client: "redis.Redis", url: str, refusal: str
) -> None:
    """A password, user or database that the server does not take, and none where it asks for one.

    That will not pass by itself: it is permanent. The password is not shown.
    """
    redis_client = RedisClient(Secret(url.format(server.port)), timing=PATIENTLY)
    client.config_set("requirepass", "pass")
    try:
        for ask in (
            redis_client.execute("GET", KEY),
            delete_and_set(redis_client, keys=[KEY] * 20),
            redis_client.ask_all("INFO"),
        ):
            with pytest.raises(StoreRefuses) as refused:
                await ask
            assert (refused.value.refusal, refused.value.permanent) == (refusal, True)
            assert "s3cret" not in str(refused.value)
        with pytest.raises(StartupError, match=r"^SERVICE_REDIS_URL: Redis ") as stopped:
            await check_server(Secret(url.format(server.port)), timing=PATIENTLY)
        assert "s3cret" not in str(stopped.value)
    finally:
        client.config_set("requirepass", "")
        client.execute_command("ACL", "SETUSER", "default", "nopass")
        await redis_client.aclose()


@script(text="redis.call('SET', key, 'half') redis.call('INCR', counter) return 1")
def half(*, key: Key, counter: Key) -> Any: ...


COUNTER = b"revocations:{00}"


@pytest.mark.parametrize(
    ("lacking", "else_left"), [("-incr", b"half"), ("resetkeys ~session:* ~sessions:*", b"old")]
)
async def test_no_script_breaks_off_half_way(
    server: NetworkServer, client: "redis.Redis", lacking: str, else_left: bytes
) -> None:
    """Where our user may not run all that scripts run, none is sent: what is missing is told.

    Where nobody looks first, a change stays half made, unless the keys are declared. (Memory and
    replicas do not do that: a server refuses the first write for them, or none.)
    """
    client.execute_command("ACL", "SETUSER", "app", *lacking.split())
    url = Secret(f"redis://app:pass@127.0.0.1:{server.port}")
    for check_connection, left in ((refuse_without_rights, b"old"), (accept_any, else_left)):
        redis_client = RedisClient(url, check_connection=check_connection, timing=PATIENTLY)
        with pytest.raises(StoreRefuses) as refused:
            await half(redis_client, key=KEY, counter=COUNTER)
        assert refused.value.refusal == "user"
        assert client.get(KEY) == left
        await redis_client.aclose()
    for more, named in (("-get", "GET"), ("-eval", "EVAL")):
        client.execute_command("ACL", "SETUSER", "app", more)
        redis_client = RedisClient(url, check_connection=refuse_without_rights, timing=PATIENTLY)
        with pytest.raises(StoreRefuses, match=named):
            await redis_client.execute("TIME", KEY)
        await redis_client.aclose()


@pytest.mark.parametrize("noticed_by", ["probe", "call"])
async def test_rights_that_are_taken_away_from_a_living_connection(
    server: NetworkServer, client: "redis.Redis", noticed_by: str
) -> None:
    """Once somebody has noticed, nothing more is sent, until they are given back."""
    url = Secret(f"redis://app:pass@127.0.0.1:{server.port}")
    redis_client = RedisClient(url, check_connection=refuse_without_rights, timing=PATIENTLY)
    assert await half(redis_client, key=KEY, counter=COUNTER) == 1
    client.execute_command("ACL", "SETUSER", "app", "-incr")
    if noticed_by == "probe":
        assert "INCR" in (await probe(redis_client)).missing
    else:
        with pytest.raises(StoreRefuses):
            await half(redis_client, key=KEY, counter=COUNTER)
    client.set(KEY, "old")
    with pytest.raises(StoreRefuses, match=r"use INCR; redis\.conf has the ACL"):
        await half(redis_client, key=KEY, counter=COUNTER)
    assert client.get(KEY) == b"old"
    client.execute_command("ACL", "SETUSER", "app", "+incr")
    assert await half(redis_client, key=KEY, counter=COUNTER) == 1
    await redis_client.aclose()


async def test_a_server_that_is_full_of_clients(
    client: "redis.Redis", redis_client: RedisClient
) -> None:
    """It hangs up on the next one, and says why."""
    most = client.config_get("maxclients")["maxclients"]
    client.config_set("maxclients", 1)
    try:
        with pytest.raises(StoreRefuses, match="maxclients"):
            await redis_client.execute("GET", KEY)
    finally:
        client.config_set("maxclients", most)
    assert await redis_client.execute("GET", KEY) == b"old"


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """Cannot be reached: that is no refusal."""
    redis_client = RedisClient(Secret(f"unix://{tmp_path}/nothing"))
    with pytest.raises(StoreUnavailable) as unavailable:
        await redis_client.execute("GET", KEY)
    assert not isinstance(unavailable.value, StoreRefuses)
    await redis_client.aclose()


async def test_a_connection_that_fails_as_nobody_foresaw(
    client: "redis.Redis", redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as any other failure to connect, and the next one is tried."""
    with monkeypatch.context() as broken:
        broken.setattr(RedisUrl, "connection", lambda *_: 1 / 0)
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await redis_client.execute("GET", KEY)
    assert await redis_client.execute("GET", KEY) == b"old"
