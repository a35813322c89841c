"""Redis gone or frozen: a quick 503, nothing half done, recovery without a restart."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, code_of, sign_up
from tools.testbed.waiting import eventually

from tests.faults.conftest import Stage
from tests.support.looking import ON_VALKEY
from tests.support.run_queue import Stopwatch

BOUND = 2.0
"""Seconds: the contract's."""

Outage = Callable[[RedisServer], None]
Call = Callable[[], Awaitable[httpx.Response]]


@pytest.fixture(params=["stopped", "frozen"])
def outage(request: pytest.FixtureRequest) -> Outage:
    """Connections refused, or accepted and never answered."""
    return RedisServer.stop if request.param == "stopped" else RedisServer.freeze


def every_call(person: Person) -> dict[str, Call]:
    """One call of each kind that needs Redis. Logging out comes last."""
    credentials = {"email": person.email, "password": PASSWORD}
    return {
        "me": person.me,
        "sessions": person.sessions,
        "end": lambda: person.end("0" * 24),
        "login": lambda: person.client.post("/auth/login", json=credentials),
        "signup": lambda: person.client.post(
            "/auth/signup", json=credentials | {"email": "new" + person.email}
        ),
        "refresh": person.refresh,
        "everywhere": lambda: person.log_out_everywhere(keepCurrent=True),
        "logout": person.log_out,
    }


@ON_VALKEY
async def test_503_within_two_seconds(
    stage: Stage, http: httpx.AsyncClient, outage: Outage
) -> None:
    """Each call that needs Redis says so in time, under many callers too."""
    person = await sign_up(http)
    outage(stage.redis)

    async def taken(call: Call) -> tuple[httpx.Response, float]:
        started = time.monotonic()
        answer = await call()
        return answer, time.monotonic() - started

    async def in_time(calls: list[tuple[str, Call]]) -> None:
        """What as many take beside them that ask no Redis is the machine, which may be busy."""
        pid = stage.service.process.pid if stage.service.process else 0
        since = Stopwatch(pid)
        beside = [taken(lambda: http.get("/health/live")) for _ in calls]
        answers = await asyncio.gather(*(taken(call) for _, call in calls), *beside)
        machine = max(since.waited, *(seconds for _, seconds in answers[len(calls) :]))
        for (name, _), (answer, seconds) in zip(calls, answers, strict=False):
            assert code_of(answer) == (503, "service_unavailable"), name
            assert answer.headers["retry-after"] == "1"
            assert seconds < BOUND + machine, f"{name} took {seconds:.2f} s, others {machine:.2f}"

    await in_time(list(every_call(person).items()))
    await in_time([("me", person.me)] * 80)
    assert (await http.get("/health/live")).status_code == 200
    assert (await http.get("/health/ready")).status_code == 503
    junk = await http.post("/auth/refresh", json={"refreshToken": "osr_" + "A" * 120})
    assert code_of(junk) == (401, "invalid_refresh_token"), "junk needs no Redis"


async def test_recovery_by_itself(stage: Stage, http: httpx.AsyncClient, outage: Outage) -> None:
    """Once Redis is back, the same process serves the same sessions, each with its own answers."""
    people = [await sign_up(http) for _ in range(40)]
    outage(stage.redis)
    answers = await asyncio.gather(*(person.me() for person in people))
    assert {answer.status_code for answer in answers} == {503}
    await asyncio.to_thread(stage.redis.heal)

    async def serves() -> bool:
        return (await people[0].me()).status_code == 200

    await eventually(serves)
    for _ in range(3):
        answers = await asyncio.gather(*(person.me() for person in people))
        for person, answer in zip(people, answers, strict=True):
            assert answer.status_code == 200
            assert answer.json()["user"]["email"] == person.email
            assert answer.json()["session"]["id"] == person.session_id


async def test_nothing_is_half_done(stage: Stage, http: httpx.AsyncClient, outage: Outage) -> None:
    """A logout that got 503 has happened or has not; the retry says which, and then it has."""
    people = [await sign_up(http) for _ in range(12)]
    refreshing, leaving = people[:6], people[6:]
    outage(stage.redis)
    answers = await asyncio.gather(
        *(person.refresh() for person in refreshing), *(person.log_out() for person in leaving)
    )
    assert {answer.status_code for answer in answers} == {503}
    await asyncio.to_thread(stage.redis.heal)

    async def serves() -> bool:
        return (await http.get("/health/ready")).status_code == 200

    await eventually(serves)
    for person in leaving:
        dead = (await person.me()).status_code == 401
        again = await person.log_out()
        assert again.status_code == (400 if dead else 204)
        assert (await person.me()).status_code == 401
        assert (await person.refresh()).status_code == 401
    for person in refreshing:
        answer = await person.refresh()
        assert answer.status_code == 200, "a lost answer costs nobody the session"
        assert (await person.holding(answer.json()).refresh()).status_code == 200


@ON_VALKEY
async def test_freezing_in_the_middle_of_a_login(stage: Stage, http: httpx.AsyncClient) -> None:
    """Whichever of a login's steps Redis is lost at, the answer comes in time."""
    people = [await sign_up(http) for _ in range(24)]
    loop = asyncio.get_running_loop()

    async def log_in(person: Person) -> tuple[int, float]:
        started = time.monotonic()
        body = {"email": person.email, "password": PASSWORD}
        answer = await http.post("/auth/login", json=body)
        return answer.status_code, time.monotonic() - started

    pid = stage.service.process.pid if stage.service.process else 0
    since = Stopwatch(pid)
    tasks = [asyncio.create_task(log_in(person)) for person in people]
    loop.call_later(0.02, stage.redis.freeze)
    outcomes = await asyncio.gather(*tasks)
    machine = since.waited
    assert {status for status, _ in outcomes} <= {200, 503}
    assert max(taken for _, taken in outcomes) < BOUND + machine
