"""Fixtures that more than one folder of tests uses.

Each test that takes `redis_server`, directly or not, runs once on each server that this machine
has, and leaves no key without a life behind. Each that takes `new_user_store` runs on SQLite and
on PostgreSQL.

The tests of sessions and of the second factor run on a cluster too, or under Sentinels, with
PostgreSQL and, behind `http`, with three processes of the service: as it is where many pods share
the load. A test marked `one_server` is left out of that; the mark says why. Those of HTTP and of
operators run on Valkey alone.

What differs between Redis, a cluster and Sentinels lies below all of these tests, in the client and
in the scripts' keys. So each of their functions meets Valkey with all of its cases, and the others
with some: of several cases each goes to another one in turn, and a single one meets the cluster,
which alone tells whether keys lie together, and Redis or Sentinels. Likewise, where both user
stores stand beside Valkey, all of three cases or more meet SQLite, and one of three PostgreSQL.
`--all-servers` spares none.
"""

import gc
import logging
import os
import signal
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import httpx._transports.default as httpx_transports
import pytest
import redis
from httpx._config import DEFAULT_TIMEOUT_CONFIG, create_ssl_context
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.access import SERVICE
from tools.testbed.cluster import Cluster
from tools.testbed.postgresql import PostgresServer
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.sentinel import SentinelTrio
from tools.testbed.service_process import PATIENT, Person, ServiceProcess, sign_up
from tools.testbed.waiting import PATIENCE

from service.redis.keys import BUCKETS, numbered
from tests.support.fleet import client_of
from tests.support.living import end_untold, lend, wake_those_asked_for
from tests.support.user_stores import NewUserStore, SqliteStore, UserStore, postgres_store

PERMANENT = (b"events:", b"revoked:", b"revocations:")
"""Beginnings of the keys that may live for ever: streams, which are capped, and counters."""

FLOORS = {
    floor
    for bucket in map(numbered, range(BUCKETS))
    for floor in (bucket.totp_floor, bucket.ticket_floor)
}
"""They may, too."""


TOPOLOGIES: dict[str, Callable[[Path], Cluster | SentinelTrio]] = {
    "cluster": lambda directory: Cluster(directory, node_timeout=15_000),
    "sentinel": lambda directory: SentinelTrio(directory, down_after=15_000),
}
OTHERS = ("cluster", "redis", "sentinel")
"""Than Valkey, on which each case runs."""
ON_ALL_TOPOLOGIES = "sessions", "twofactor"
ON_NO_SECOND_SERVER = "operators", "web"
"""What they prove does not depend on the server, or the others have proven it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-servers", action="store_true", help="each case on each kind of server")
    parser.addoption("--only-import", action="store_true", help="compile all files, test nothing")


def pytest_configure(config: pytest.Config) -> None:
    """Spare CPU, and have patience.

    Clients of HTTP share what they trust: reading it takes 25 ms, for each. Each connection of
    redis-py's looks up its version, by parsing the metadata of the package: 2 ms. What a shell's
    `&` or `nohup` has its program ignore, ours would ignore as well, as programs are to.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    distributes = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN and not distributes:
        signal.signal(signal.SIGHUP, lambda *_: None)  # ends nothing here; what we start hears it
    httpx.create_ssl_context = httpx_transports.create_ssl_context = _trust
    redis.utils.get_lib_version = cache(redis.utils.get_lib_version)
    # The Redis that services share is emptied before each test, which is no going back in time.
    ServiceProcess.usual = {"SERVICE_REDIS_ROLLBACK": "off"}
    for name in ("connect", "read", "write", "pool"):  # seconds of a client that is not told
        setattr(DEFAULT_TIMEOUT_CONFIG, name, PATIENCE)
    if config.getoption("only_import"):
        config.pluginmanager.register(_OnlyImported())
    gc.disable()  # what is collected stays: a quarter of the time was looking for what does not


class _OnlyImported:
    """Finds no tests in what has been imported, which takes half of the time."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self) -> list[pytest.Item]:
        return []


def pytest_collection_finish() -> None:
    """Leave all tests out of the collections of garbage that are to come."""
    gc.freeze()
    gc.enable()


def _trust(verify: Any = True, **others: Any) -> ssl.SSLContext:
    if verify is True and not others.get("cert"):
        return _shared(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    return create_ssl_context(verify, **others)


@cache
def _shared(*_: str | None) -> ssl.SSLContext:
    return create_ssl_context()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the combinations of a Redis and a user store that would prove no more."""
    on_topologies = {_test(item) for item in items if _redis(item) in TOPOLOGIES and _kept(item)}
    spared = set[str]()
    if not config.getoption("all_servers"):
        spared = {*_spared(items), *_spared_of_postgresql(items)}
    kept, left_out = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        on_other = _pair(item) == ("valkey", "postgresql") and _test(item) in on_topologies
        wanted = _kept(item) and not on_other and item.nodeid not in spared
        (kept if wanted else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
    items.sort(key=_servers)


def _spared(items: list[pytest.Item]) -> Iterator[str]:
    """Find those that their function need not run, as others of it run there."""
    cases = defaultdict[tuple[Path, str], dict[str, int]](dict)
    others = defaultdict[tuple[Path, str], set[str]](set)
    several = [item for item in items if _kept(item) and _has_choice(item)]
    for item in several:
        known = cases[_test(item)]
        known.setdefault(_case(item), len(known))
        if (server := _redis(item)) in OTHERS:
            others[_test(item)].add(server)
    for item in several:
        test, server = _test(item), _redis(item)
        if server not in OTHERS:
            continue
        count, number = len(cases[test]), cases[test][_case(item)]
        if len(others[test]) > 1 and count == 1:
            spared = server == ("redis", "sentinel")[crc32(test[1].encode()) % 2]
        else:
            in_turn = count > 2 or len(others[test]) > 1
            spared = in_turn and number % 3 != OTHERS.index(server) % min(count, 3)
        if spared:
            yield item.nodeid


def _spared_of_postgresql(items: list[pytest.Item]) -> Iterator[str]:
    """Find those whose function has shown on PostgreSQL what depends on the user store."""
    cases = defaultdict[tuple[Path, str], dict[str, int]](dict)
    both = [
        item for item in items if _redis(item) == "valkey" and not _told(item, "new_user_store")
    ]
    for item in both:
        if _pair(item)[1] == "sqlite":
            known = cases[_test(item)]
            known.setdefault(_case(item), len(known))
    for item in both:
        known = cases[_test(item)]
        if _pair(item)[1] == "postgresql" and len(known) > 2 and known.get(_case(item), 0) % 3:
            yield item.nodeid


def _has_choice(item: pytest.Item) -> bool:
    """Whether it runs on all servers because nothing says on which."""
    return _redis(item) is not None and not _told(item, "redis_server")


def _told(item: pytest.Item, fixture: str) -> bool:
    """Whether the test itself says with which values of a fixture it runs."""
    return any(fixture in mark.args[0] for mark in item.iter_markers("parametrize"))


def _case(item: pytest.Item) -> str:
    """What distinguishes it from the other cases of its function, on whatever servers."""
    callspec = getattr(item, "callspec", None)
    assert callspec
    names = set(callspec.params) - {"redis_server", "new_user_store"}
    return repr(sorted((name, callspec.indices[name]) for name in names))


LONGEST = {"test_bench.py", "test_chaos.py"}
"""Files with tests of a minute or two, most of it waiting."""
LONG = {
    "test_a_pod_whose_clock_is_ahead",
    "test_a_slow_reader_gets_all",
    "test_apps_are_checked_strictly",
    "test_nobody_notices",
    "test_nothing_is_found",
    "test_replaces_one_that_hangs",
    "test_rotation_beside_logins_at_two_pods",
    "test_signing_key_is_rotated_and_revoked",
    "test_workers_tell_together",
}
"""Others that take 10 s or more, most of it waiting."""


def _servers(item: pytest.Item) -> tuple[int, str, str]:
    """What a test needs: those that need the same stand together, so that it starts once.

    Where several processes test, each takes a stretch of this order (`--dist worksteal`). The
    longest come first, lest one process ends with them while the others have nothing to do.
    """
    server, store = _pair(item)
    long = _test(item)[1] in LONG
    rank = 0 if item.path.name in LONGEST else 1 if long else 2
    return rank, server or "", store or ""


def _kept(item: pytest.Item) -> bool:
    server, store = _pair(item)
    if server in TOPOLOGIES and not _told(item, "redis_server"):
        return (
            _is_in(ON_ALL_TOPOLOGIES, item.path)
            and store != "sqlite"
            and item.get_closest_marker("one_server") is None
        )
    if server == "redis":
        return store != "postgresql" and not _is_in(ON_NO_SECOND_SERVER, item.path)
    return True


@cache
def _is_in(folders: tuple[str, ...], file: Path) -> bool:
    return any(Path(__file__).parent / folder in file.parents for folder in folders)


def _pair(item: pytest.Item) -> tuple[str | None, str | None]:
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    return params.get("redis_server"), params.get("new_user_store")


def _redis(item: pytest.Item) -> str | None:
    return _pair(item)[0]


def _test(item: pytest.Item) -> tuple[Path, str]:
    return item.path, getattr(item, "originalname", item.name)


@pytest.fixture(autouse=True)
def root_level() -> Iterator[None]:
    """Take back the level that an app has set for all loggers, as a new one of Litestar does."""
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)


@pytest.fixture(scope="session", params=[*available(), *TOPOLOGIES])
def redis_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer | Cluster | SentinelTrio]:
    """A server, or several that are one, shared by all tests; empty at the beginning of each."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param in TOPOLOGIES:
        server: RedisServer | Cluster | SentinelTrio = TOPOLOGIES[request.param](directory)
    else:
        server = RedisServer(available()[request.param], directory)
    try:
        yield server.start()
    finally:
        server.stop()


def _client_of(server: RedisServer) -> AbstractContextManager[Any]:
    """Give a client for a test. Making one takes milliseconds, so all tests on one server share it.

    Under Sentinels each has its own: a server that has taken over is another.
    """
    shared = type(server) in (RedisServer, Cluster)
    return nullcontext(_shared_client(server)) if shared else server.client()


@cache
def _shared_client(server: RedisServer | Cluster) -> Any:
    return server.client()


@pytest.fixture
def keys(redis_server: RedisServer, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """`redis_server`, emptied before, and checked afterwards for keys that would live for ever."""
    wake_those_asked_for(request, redis_server)
    with _client_of(redis_server) as client:
        client.ping()  # what a service had sent before it was held is carried out before this
        client.flushall()
        yield redis_server
        left = end_untold(redis_server)
        eternal = [
            key
            for key in client.scan_iter(count=1000)
            if client.ttl(key) == -1 and not key.startswith(PERMANENT) and key not in FLOORS
        ]
        client.flushall()
    assert not eternal, f"keys without a time to live: {eternal}"
    assert not left, f"these services were left running: {left}"


@pytest.fixture(scope="session")
def shared_service(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """The service on `redis_server`, started once."""
    directory = tmp_path_factory.mktemp("service")
    service = ServiceProcess(directory, redis_server.url_of(SERVICE), **PATIENT)
    yield from lend("shared_service", service)


@pytest.fixture
def service(shared_service: ServiceProcess, keys: RedisServer) -> ServiceProcess:
    """`shared_service` on an empty Redis."""
    return shared_service


@pytest.fixture(scope="session")
def more_pods() -> list[ServiceProcess]:
    """What serves beside `service`. None, except where a folder has its own idea."""
    return []


@pytest.fixture
async def http(
    service: ServiceProcess, more_pods: list[ServiceProcess]
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `service`, or of all pods in turn where there are several."""
    async with client_of(service, *more_pods, timeout=30) as client:
        yield client


@pytest.fixture
async def person(http: httpx.AsyncClient) -> Person:
    """Somebody who has just signed up."""
    return await sign_up(http)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; each test has a database of its own on it."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_user_store(request: pytest.FixtureRequest) -> NewUserStore:
    """Makes user stores, each with a directory for its files if it has any."""
    if request.param == "sqlite":
        return lambda directory: nullcontext(SqliteStore(directory))
    server = request.getfixturevalue("postgres")
    return lambda directory: postgres_store(server)


@pytest.fixture
def user_store(new_user_store: NewUserStore, tmp_path: Path) -> Iterator[UserStore]:
    """A migrated, empty user store of the test's own."""
    with new_user_store(tmp_path) as store:
        yield store


@pytest.fixture
async def engine(user_store: UserStore) -> AsyncIterator[AsyncEngine]:
    """`user_store`, opened as the service does, with patience."""
    engine = user_store.open()
    yield engine
    await engine.dispose()
