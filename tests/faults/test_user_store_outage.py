"""PostgreSQL gone or frozen: who has a session keeps it, the rest is a quick 503, and it passes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest
from tools.testbed.postgresql import PostgresServer
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, ServiceProcess, code_of, sign_up
from tools.testbed.waiting import eventually

from tests.support.living import lend
from tests.support.looking import ON_VALKEY
from tests.support.run_queue import Stopwatch
from tests.support.two_factor import Holder, new_holder

BOUND = 2.0
"""Seconds: the contract's."""

DB_PASSWORD = "hunter2-of-the-database"  # which the server does not ask for

Outage = Callable[[PostgresServer], None]

pytestmark = ON_VALKEY


@pytest.fixture(scope="module")
def service(
    redis_server: RedisServer,
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    """A service on PostgreSQL, which it migrates itself. It is never restarted."""
    with postgres.database(migrated=False) as name:
        service = ServiceProcess(
            tmp_path_factory.mktemp("on-postgresql"),
            redis_server.url,
            SERVICE_DATABASE_URL=f"{postgres.url(name)}&password={DB_PASSWORD}",
            SERVICE_DATABASE_POOL="4",
            SERVICE_LOG_LEVEL="debug",
        )
        yield from lend("service", service)


@pytest.fixture
async def http(service: ServiceProcess, keys: RedisServer) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=service.url, limits=limits, timeout=10) as client:
        yield client


@pytest.fixture(params=["stopped", "frozen"])
def outage(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Outage]:
    """Connections refused, or accepted and never answered."""
    yield PostgresServer.stop if request.param == "stopped" else PostgresServer.freeze
    postgres.heal()


def calls_that_need_it(
    ann: Holder, challenge: str, eve: Holder
) -> dict[str, Callable[[], Awaitable[object]]]:
    """A login, a signup, and each change of a second factor; `eve` is about to enrol."""
    signup = {"email": "new@example.com", "password": PASSWORD}
    return {
        "login": ann.password,
        "second step": lambda: ann.answer(challenge, ann.phone.code(1)),
        "signup": lambda: ann.client.post("/auth/signup", json=signup),
        "verify": eve.verify,
        "disable": lambda: ann.disable(ann.recovery_codes[0]),
        "recovery codes": lambda: ann.renew(ann.phone.code(1)),
    }


async def test_sessions_go_on_and_the_rest_is_told(
    service: ServiceProcess, postgres: PostgresServer, http: httpx.AsyncClient, outage: Outage
) -> None:
    """Refresh and logout work; what needs an account gets 503 in time; it recovers by itself."""
    ann, eve = await (await new_holder(http)).enrol(), await new_holder(http)
    await eve.begin()
    challenge = await ann.challenge()
    people = [await sign_up(http) for _ in range(10)]
    await asyncio.to_thread(outage, postgres)
    assert service.process
    pid = service.process.pid

    async def refused(name: str, call: Callable[[], Awaitable[object]]) -> None:
        since = Stopwatch(pid)
        answer = await call()
        taken, machine = since.all, since.waited
        assert isinstance(answer, httpx.Response)
        assert code_of(answer) == (503, "service_unavailable"), name
        assert taken < BOUND + machine, f"{name} took {taken:.2f} s, {machine:.2f} of it waiting"

    calls = calls_that_need_it(ann, challenge, eve)
    many = [(name, calls[name]) for name in ("login", "signup") for _ in range(5)]
    await asyncio.gather(*(refused(*call) for call in [*calls.items(), *many]))
    for person in people:
        refreshed = await person.refresh()
        assert refreshed.status_code == 200
        assert (await person.holding(refreshed.json()).log_out()).status_code == 204
    ended = await http.post("/auth/2fa/enable", headers=people[0].bearer)
    assert code_of(ended) == (401, "unauthorized"), "whatever the account may be"
    ready = await http.get("/health/ready")
    assert (ready.status_code, ready.json()["users"]["ok"]) == (503, False)
    assert (await http.get("/health/live")).status_code == 200
    told = ready.text + service.output()
    assert not [
        secret
        for secret in (DB_PASSWORD, "postgresql://", str(postgres.directory))
        if secret in told
    ]

    await asyncio.to_thread(postgres.heal)

    async def serves() -> bool:
        return (await http.get("/health/ready")).status_code == 200

    await eventually(serves)
    assert (await people[0].log_in()).tokens
    assert (await sign_up(http)).tokens
    assert (await ann.answer(challenge, ann.phone.code(1))).status_code == 200, "nothing counted"
    assert (await eve.verify()).status_code == 200
