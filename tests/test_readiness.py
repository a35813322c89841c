"""`/health/ready` tells the truth: 503 with the reason wherever a change would not work."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.crc import key_slot
from tools.testbed import access
from tools.testbed.access import GUARD, PASSWORD, SERVICE
from tools.testbed.cluster import Cluster
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.sentinel import SentinelTrio
from tools.testbed.service_process import PATIENT, ServiceProcess, code_of
from tools.testbed.waiting import eventually, wait_until

from service.readiness.checks import Parts, clock_part
from service.readiness.status import Part, Probe, Readiness, SharedStatus
from service.redis.client import RedisClient
from service.settings import Secret
from tests.support import faketime
from tests.support.log_state import captured
from tests.support.run_queue import Stopwatch
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.support.user_stores import PostgresStore, UserStore

FINE = Part(True, "Fine.")


@pytest.fixture(scope="module", params=available())
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """One that tests put into bad states."""
    server = RedisServer(available()[request.param], tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pod(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service on it, as the user of redis.conf."""
    pod = ServiceProcess(tmp_path_factory.mktemp("pod"), server.url_of(SERVICE), **PATIENT).start()
    yield pod
    assert pod.stop() == 0


def asked(pod: ServiceProcess) -> tuple[int, dict[str, Any]]:
    """Status and parts. A busy machine takes its time; what hangs takes for ever."""
    answer = httpx.get(f"{pod.url}/health/ready", timeout=20)
    return answer.status_code, answer.json()


def rules(user: str) -> list[str]:
    return ["reset", *access.users()[user]]


STATES: dict[str, tuple[list[str], list[str], str]] = {
    # by name: what puts the server into it, what takes it out again, and what is said of it
    "full": (["CONFIG SET maxmemory 1mb"], ["CONFIG SET maxmemory 0"], "maxmemory"),
    "too few replicas": (
        ["CONFIG SET min-replicas-to-write 1"],
        ["CONFIG SET min-replicas-to-write 0"],
        "replicas",
    ),
    "replica": (["REPLICAOF 127.0.0.1 1"], ["REPLICAOF NO ONE"], "replica"),
    "replica that takes writes": (
        ["REPLICAOF 127.0.0.1 1", "CONFIG SET replica-read-only no"],
        ["CONFIG SET replica-read-only yes", "REPLICAOF NO ONE"],
        "replica",
    ),
    "other keys": ([f"ACL SETUSER {SERVICE} resetkeys ~app:*"], [], "let this user"),
    "one kind of key": (
        [f"ACL SETUSER {SERVICE} resetkeys ~barrier:* ~session:*"],
        [],
        "attempts:*",
    ),
    "no XADD": ([f"ACL SETUSER {SERVICE} -xadd"], [], "XADD"),
    "no scripts": ([f"ACL SETUSER {SERVICE} -eval -evalsha"], [], "let this user"),
    "user switched off": (
        [f"ACL SETUSER {SERVICE} off", "CLIENT KILL TYPE normal SKIPME yes"],
        [],
        "user name and password",
    ),
    "default without rights": (
        ["ACL SETUSER default resetkeys ~app:*"],
        ["ACL SETUSER default allkeys"],
        "`default` may not DEL attempts:*",
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_not_ready_while_no_change_works(
    server: RedisServer, pod: ServiceProcess, state: str
) -> None:
    """503 in time, with the reason and no secret; liveness is as before; ready again by itself."""
    into, out_of, said = STATES[state]
    assert asked(pod)[0] == 200
    with server.client() as client:
        try:
            for command in into:
                client.execute_command(*command.split())
            wait_until(lambda: asked(pod)[0] == 503)
            status, parts = asked(pod)
            assert (status, parts["redis"]["ok"]) == (503, False)
            assert said in parts["redis"]["message"], parts["redis"]["message"]
            assert PASSWORD not in json.dumps(parts)
            assert httpx.get(f"{pod.url}/health/live").status_code == 200
            signup = {"email": f"{time.monotonic()}@example.com", "password": "correct horse"}
            if state not in ("replica that takes writes", "default without rights"):
                answer = httpx.post(f"{pod.url}/auth/signup", json=signup)
                assert code_of(answer) == (503, "service_unavailable")
        finally:
            for command in out_of:
                client.execute_command(*command.split())
            client.execute_command("ACL", "SETUSER", SERVICE, *rules(SERVICE))
    wait_until(lambda: asked(pod)[0] == 200)


@pytest.mark.parametrize(
    ("more", "less", "said"),
    [
        ([], ["+acl|dryrun"], "could not be checked: our user may not ask"),
        ([], ["+info"], "durability could not be checked"),
        ([], [], "our user may not ask."),
        (["+config|get"], [], "Every change is on disk before it is answered."),
    ],
)
async def test_what_could_not_be_looked_at_is_said(
    server: RedisServer, user_store: UserStore, more: list[str], less: list[str], said: str
) -> None:
    """A user with fewer rights than ours is ready, and with more, more is told."""
    with server.client() as client:
        kept = [rule for rule in access.users()[SERVICE] if rule not in less]
        client.execute_command("ACL", "SETUSER", "odd", "reset", *kept, *more)
        url = access.url_as("odd", server.url)
        redis_client, engine = RedisClient(url, timing=PATIENTLY), user_store.open()
        parts = Parts(redis_client, engine, "local")
        for _ in range(3):
            readiness = await parts()
            assert readiness.ok
            assert said in readiness.redis.message
        refused = [entry for entry in client.acl_log() if entry["username"] == "odd"]
        # Asked once, not with each look: somebody may watch that log.
        assert sum(entry["count"] for entry in refused) <= len(less) + (not more)
        client.acl_log_reset()
        await redis_client.aclose()
        await engine.dispose()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: access.url_as("s3cret", url), "user name and password"),
        (lambda url: Secret(url.reveal() + "?db=99"), "no such database"),
    ],
)
def test_a_wrong_url_is_told(
    server: RedisServer, tmp_path: Path, change: Callable[[Secret], Secret], said: str
) -> None:
    """The start stops at it, in one line without a secret, not as at one that cannot be reached."""
    code, output = ServiceProcess(tmp_path, change(server.url), **PATIENT).refusal()
    assert code == 2
    assert "SERVICE_REDIS_URL" in output
    assert said in output
    assert "s3cret" not in output
    assert len(output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("shift", "status", "said"),
    [(61, 503, "61 s ahead of Redis'"), (-20, 200, "20 s behind Redis'")],
)
def test_a_wrong_clock(
    tmp_path: Path, new_server: RedisServer, shift: int, status: int, said: str
) -> None:
    """A minute or more off Redis' time is not ready; a little is told, there and in the log."""
    settings = PATIENT | faketime.shifted(shift)
    pod = ServiceProcess(tmp_path, new_server.url, **settings).start()
    try:
        answers = list[tuple[int, dict[str, Any]]]()

        def all_else_is_well() -> bool:
            answers.append(asked(pod))
            others = {name: part for name, part in answers[-1][1].items() if name != "clock"}
            clock = answers[-1][1]["clock"]
            return said in clock["message"] and all(part["ok"] for part in others.values())

        wait_until(all_else_is_well)
        found, parts = answers[-1]
        assert (found, parts["clock"]["ok"]) == (status, status == 200)
        # As exact as the round trip on a busy machine; twenty-one or fifty-nine would not do.
        assert abs(int(parts["clock"]["facts"]["skewMs"]) - shift * 1000) < 1_500
        assert parts["clock"]["warning"]
        wait_until(lambda: '"part":"clock"' in pod.output())
        metrics = httpx.get(f"{pod.url}/metrics", timeout=20).text
        [told] = re.findall(r"^openshow_clock_skew_seconds (\S+)$", metrics, re.MULTILINE)
        assert abs(float(told) - shift) < 5
    finally:
        pod.stop()


@pytest.mark.parametrize(
    ("skew", "ok", "warning"),
    [(0, True, False), (-4.9, True, False), (5, True, True), (-59.9, True, True),
     (60, False, True), (-60, False, True), (40 * 86_400, False, True), (-1e9, False, True)],
)  # fmt: skip
def test_how_wrong_a_clock_may_be(skew: float, ok: bool, warning: bool) -> None:
    """On both sides alike: a minute is too much."""
    part = clock_part(skew)
    assert (part.ok, part.warning) == (ok, warning)


async def test_fewer_acknowledgements_than_sentinels_have_replicas(
    tmp_path: Path, new_directory: Path
) -> None:
    """Ready, but a warning in readiness and log: a failover may lose what is not waited for."""
    trio = SentinelTrio(new_directory).start()
    try:
        for awaited, warns in (("1", True), ("2", False)):
            directory = tmp_path / awaited
            directory.mkdir()
            pod = ServiceProcess(
                directory, trio.url, SERVICE_REDIS_MIN_REPLICAS=awaited, **PATIENT
            ).start()
            try:
                wait_until(lambda pod=pod: asked(pod)[0] == 200)
                part = asked(pod)[1]["redis"]
                assert part.get("warning", False) is warns
                assert ("set SERVICE_REDIS_MIN_REPLICAS to 2" in part["message"]) is warns
                if warns:
                    wait_until(lambda pod=pod: "SERVICE_REDIS_MIN_REPLICAS to 2" in pod.output())
            finally:
                assert pod.stop() == 0
            assert ("SERVICE_REDIS_MIN_REPLICAS to 2" in pod.output()) is warns
    finally:
        trio.stop()


@pytest.fixture
def new_server(new_directory: Path) -> Iterator[RedisServer]:
    server = RedisServer(available()["valkey"], new_directory).start()
    yield server
    server.stop()


@pytest.fixture
def new_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "redis"
    directory.mkdir()
    return directory


async def test_one_primary_of_a_cluster_that_takes_no_change(
    tmp_path: Path, user_store: UserStore
) -> None:
    """It is noticed wherever it is, and how much of the whole it is is told."""
    cluster = Cluster(tmp_path, node_timeout=15_000).start()
    redis_client, engine = RedisClient(cluster.url, timing=PATIENTLY), user_store.open()
    look = Parts(redis_client, engine, "local")
    try:
        assert (await look()).ok
        with cluster.owner(key_slot(b"00")).client() as client:
            client.config_set("maxmemory", "1mb")
        found = await look()
        assert not found.redis.ok
        assert (
            " of 64 buckets take no changes. Redis takes no writes: it has" in found.redis.message
        )
    finally:
        await redis_client.aclose()
        await engine.dispose()
        cluster.stop()


# --- The user store -------------------------------------------------------------------------------


@pytest.fixture
async def users_part(user_store: UserStore, keys: RedisServer) -> AsyncIterator[Callable[[], Any]]:
    """Asks for the part `users` of a pod on `user_store`."""
    engine, redis_client = user_store.open(), RedisClient(keys.url, timing=PATIENTLY)
    parts = Parts(redis_client, engine, "local")

    async def ask() -> Part:
        return (await parts()).users

    yield ask
    parts.close()
    await redis_client.aclose()
    await engine.dispose()


async def test_a_user_store_that_takes_changes(
    users_part: Callable[[], Any], user_store: UserStore
) -> None:
    """Asked for many times, nothing is left behind."""
    for _ in range(5):
        assert (await users_part()).ok
    assert user_store.ask("SELECT count(*) FROM users") == [(0,)]


async def test_a_user_store_that_is_read_only(
    users_part: Callable[[], Any], user_store: UserStore
) -> None:
    """As after a failover to a standby, or with a file that may not be written."""
    if not isinstance(user_store, PostgresStore):
        pytest.skip("see test_a_full_disk; root may write any file")
    name = user_store.url.partition("?")[0].rpartition("/")[2]
    user_store.ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    part = await users_part()
    assert (part.ok, part.message) == (False, "The user store takes no writes: it is read-only.")
    user_store._server.ask(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    for _ in range(2):  # the connection that was refused is left
        part = await users_part()
    assert part.ok


async def test_a_user_store_that_is_locked(
    users_part: Callable[[], Any], user_store: UserStore
) -> None:
    """Everybody's changes wait, and so does readiness, no longer than its patience."""
    with user_store.held():
        since = Stopwatch()
        part = await users_part()
        assert since.own < 2
        assert not part.ok
    await asyncio.sleep(0)


def test_a_full_disk(tmp_path: Path, new_server: RedisServer) -> None:
    """SQLite on a disk that has no room left: not ready, and says so; ready once there is room."""
    # A limit on the size of files, which a file reaches as it reaches the end of a disk.
    import resource

    pod = ServiceProcess(tmp_path, new_server.url).start()
    try:
        assert asked(pod)[0] == 200
        assert pod.process
        store = tmp_path / "var" / "service.db"
        log = store.with_name("service.db-wal")
        limits = resource.prlimit(pod.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pod.process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, limits[1]))
        wait_until(lambda: asked(pod)[0] == 503)
        part = asked(pod)[1]["users"]
        assert "disk" in part["message"]
        assert str(tmp_path) not in part["message"]
        resource.prlimit(pod.process.pid, resource.RLIMIT_FSIZE, limits)
        wait_until(lambda: asked(pod)[0] == 200)
    finally:
        pod.stop()


# --- Whoever asks, and how often ------------------------------------------------------------------


def test_a_flood_costs_the_stores_next_to_nothing(server: RedisServer, pod: ServiceProcess) -> None:
    """500 requests at once, and then more: a handful of looks."""

    async def flood() -> list[int]:
        async with httpx.AsyncClient(base_url=pod.url, timeout=30) as client:

            async def ask() -> int:
                return (await client.get("/health/ready")).status_code

            return [s for _ in range(5) for s in await asyncio.gather(*(ask() for _ in range(100)))]

    with server.client() as client:
        client.config_resetstat()
        began = time.monotonic()
        assert set(asyncio.run(flood())) == {200}
        looks = client.info("commandstats")["cmdstat_info"]["calls"] - 1
        assert looks <= SharedStatus.BURST + SharedStatus.RATE * (time.monotonic() - began) + 1


def readiness(redis: Part) -> Readiness:
    return Readiness(redis, FINE, FINE, FINE)


async def test_now_and_then_each_gets_a_look_of_their_own() -> None:
    """What changed just before a request is in its answer, unless there are many."""
    told = [readiness(Part(bool(n % 2), f"Look {n}.")) for n in range(1000)]
    looks = iter(told)

    async def look() -> Readiness:
        return next(looks)

    shared = SharedStatus(look)
    assert [await shared() for _ in range(int(SharedStatus.BURST))] == told[
        : int(SharedStatus.BURST)
    ]
    for _ in range(500):
        await shared()
    assert next(looks) in told[: int(SharedStatus.BURST) + 5]


async def test_who_asks_together_shares_a_look() -> None:
    """And who hangs up does not end it for the others."""
    going, asked_for = asyncio.Event(), 0

    async def look() -> Readiness:
        nonlocal asked_for
        asked_for += 1
        await going.wait()
        return readiness(FINE)

    shared = SharedStatus(look)
    asking = [asyncio.create_task(shared()) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    going.set()
    assert all(each.ok for each in await asyncio.gather(*asking[1:]))
    assert asked_for == 1


async def test_what_is_wrong_is_told_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has it once, though nobody asks for readiness, and after a look that failed, too."""
    monkeypatch.setattr(SharedStatus, "EVERY", 0.001)
    looks = 0

    async def look() -> Readiness:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise ZeroDivisionError
        return Readiness(FINE, FINE, FINE, clock_part(-7.0))

    async def looked() -> bool:
        return looks >= 5

    with captured() as said:
        shared = SharedStatus(look)
        looking = asyncio.create_task(shared.keep_looking())
        await eventually(looked)
        looking.cancel()
    assert shared.last == Readiness(FINE, FINE, FINE, clock_part(-7.0))
    assert [("7 s behind" in str(line), type(line.get("exc_info"))) for line in said] == [
        (True, type(None)),
        (False, ZeroDivisionError),
    ]


async def test_what_hangs_is_asked_once() -> None:
    """However often somebody looks: a disk that is gone holds one connection."""
    asked_for = 0

    async def ask() -> tuple[Part, ...]:
        nonlocal asked_for
        asked_for += 1
        await asyncio.Event().wait()
        raise AssertionError

    question = Probe("The disk", ask)
    for _ in range(2):
        assert await question() == (Part(False, "The disk does not answer."),)
    question.close()
    assert asked_for == 1


def test_nothing_is_shown_that_was_not(pod: ServiceProcess) -> None:
    """Parts and facts by name: no version but Redis', no address, no user."""
    parts = asked(pod)[1]
    facts = {name: set(part.get("facts", ())) for name, part in parts.items()}
    assert facts == {
        "redis": {"version", "maxmemoryPolicy", "appendonly", "appendfsync", "replicas",
                  "minReplicas"},
        "users": set(),
        "keyring": {"provider"},
        "clock": {"skewMs"},
    }  # fmt: skip
    assert SERVICE not in json.dumps(parts)
    assert GUARD not in json.dumps(parts)
