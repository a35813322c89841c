"""kill -9 of Redis in the middle of the work, and what an answer is worth afterwards."""

import asyncio
from contextlib import suppress

import httpx
from tools.testbed.service_process import PASSWORD, Person, sign_up
from tools.testbed.waiting import eventually

from tests.faults.conftest import Stage

WORKERS = 12
KILLS = 2
ANSWERS_BEFORE_A_KILL = 150


class Promises:
    """What the service has answered, and so must keep."""

    def __init__(self) -> None:
        self.living: dict[str, Person] = {}
        self.ended: list[Person] = []
        self.unknown: set[str] = set()
        self.answers = 0

    async def log_in(self, person: Person) -> None:
        body = {"email": person.email, "password": PASSWORD}
        answer = await person.client.post("/auth/login", json=body)
        self.answers += 1
        if answer.status_code == 200:
            session = person.holding(answer.json())
            self.living[session.session_id] = session

    async def refresh(self, session: Person) -> None:
        """Without an answer the new token may or may not be valid: the old one must then do."""
        answer = await session.refresh()
        self.answers += 1
        if answer.status_code == 200:
            self.living[session.session_id] = session.holding(answer.json())
        else:
            assert answer.status_code == 503, answer.text

    async def log_out(self, session: Person) -> None:
        """Only a 204 is a promise. Without an answer it may have ended, so nothing is known."""
        del self.living[session.session_id]
        answer = await session.log_out()
        self.answers += 1
        if answer.status_code == 204:
            self.ended.append(session)
        else:
            assert answer.status_code == 503, answer.text


async def work(promises: Promises, person: Person, stop: asyncio.Event) -> None:
    """One person's devices: log in, refresh twice, log out of every other session."""
    number = 0
    while not stop.is_set():
        number += 1
        mine = [each for each in promises.living.values() if each.email == person.email]
        if len(mine) < 4:
            await promises.log_in(person)
        elif number % 3:
            await promises.refresh(mine[number % len(mine)])
        else:
            await promises.log_out(mine[number % len(mine)])


async def test_what_was_answered_survives_a_kill(stage: Stage, http: httpx.AsyncClient) -> None:
    """No logout answered 204 is undone, no session whose tokens were answered is lost."""
    promises = Promises()
    people = [await sign_up(http) for _ in range(WORKERS)]
    stop = asyncio.Event()
    workers = [asyncio.create_task(work(promises, person, stop)) for person in people]
    for _ in range(KILLS):
        enough = promises.answers + ANSWERS_BEFORE_A_KILL

        async def worked(enough: int = enough) -> bool:
            return promises.answers >= enough

        await eventually(worked)
        stage.redis.kill()
        await asyncio.to_thread(stage.redis.start)
    stop.set()
    await asyncio.gather(*workers)
    await eventually(lambda: ready(http))
    assert len(promises.ended) >= 10
    assert len(promises.living) >= 10
    for session in promises.ended:
        assert (await session.me()).status_code == 401
        assert (await session.refresh()).status_code == 401
    for session in promises.living.values():
        assert (await session.me()).status_code == 200
    lost = [s for s in promises.living.values() if (await s.refresh()).status_code != 200]
    assert not lost


async def ready(http: httpx.AsyncClient) -> bool:
    with suppress(httpx.TransportError):
        return (await http.get("/health/ready")).status_code == 200
    return False
