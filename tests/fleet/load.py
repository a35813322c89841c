"""People who use the service without pause while something happens to its Redis.

Each does what a person's app does and judges every answer by what it must be. Where a test lets
Redis fail, an answer of 503 means that nothing is known, and is followed up as a client should: the
same call again.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
from tools.testbed.service_process import PASSWORD, Person, code_of
from tools.testbed.waiting import eventually

Call = Callable[[], Awaitable[httpx.Response]]


class Load:
    """What people are doing, how often, and what was answered wrongly."""

    def __init__(self, client: httpx.AsyncClient, *, unavailable_is_wrong: bool) -> None:
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.unavailable = 0
        self.users: list[bytes] = []
        self._client = client
        self._unavailable_is_wrong = unavailable_is_wrong
        self._over = False
        self._pause = 0.0

    async def progress(self, rounds: int = 3) -> None:
        """Wait until every kind of call has gone well so many times more."""
        goal = {what: self.done[what] + rounds for what in ("refresh", "log out", "log in", "me")}

        async def reached() -> bool:
            return all(self.done[what] >= count for what, count in goal.items())

        await eventually(reached)

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Have everybody rest after each call while this lasts: who fails over needs the cores."""
        self._pause = 0.05
        yield
        self._pause = 0.0

    def end(self) -> None:
        """Let everybody finish what they are at."""
        self._over = True

    async def live(self) -> None:
        """One person: signs up, then refreshes and looks, logs out, logs in again, and so on."""
        person = await self._join()
        self.users.append(person.user_id)
        while not self._over:
            for _ in range(3):
                answer = await self._ask("refresh", person.refresh, (200, ""))
                if answer is None:
                    break
                person = person.holding(answer.json())
                await self._ask("me", person.me, (200, ""))
            await self._leave(person)
            person = await self._come_back(person)
        await self._ask("me at the end", person.me, (200, ""))
        await self._ask("refresh at the end", person.refresh, (200, ""))

    async def _join(self) -> Person:
        """Sign up; after a 503, of which nothing is known, under another address."""
        answer = await self._ask(
            "sign up",
            lambda: self._client.post(
                "/auth/signup",
                json={"email": f"{secrets.token_hex(8)}@example.com", "password": PASSWORD},
            ),
            (201, ""),
        )
        assert answer is not None, self.wrong
        return Person(self._client, answer.json()["user"]["email"], answer.json())

    async def _leave(self, person: Person) -> None:
        """Log out: from the 204 on, neither token is good any more, whatever pod is asked."""
        gone = (400, "session_not_found")  # also after a 503, of which nothing was known
        await self._ask("log out", person.log_out, (204, ""), after_unavailable=gone)
        await self._ask("me, logged out", person.me, (401, "unauthorized"))
        await self._ask("refresh, logged out", person.refresh, (401, "invalid_refresh_token"))

    async def _come_back(self, person: Person) -> Person:
        body = {"email": person.email, "password": PASSWORD}
        answer = await self._ask(
            "log in", lambda: self._client.post("/auth/login", json=body), (200, "")
        )
        return person if answer is None else person.holding(answer.json())

    async def _ask(
        self,
        what: str,
        call: Call,
        right: tuple[int, str],
        after_unavailable: tuple[int, str] | None = None,
    ) -> httpx.Response | None:
        """The right answer; `None` if another was given, which is noted."""
        rights = {right}
        async with asyncio.timeout(60):
            while (answer := await call()).status_code == 503:
                self.unavailable += 1
                if self._unavailable_is_wrong:
                    break
                rights |= {after_unavailable or right}
                await asyncio.sleep(0.05)
        await asyncio.sleep(self._pause)
        if code_of(answer) not in rights:
            self.wrong.append(f"{what}: {code_of(answer)}")
            return None
        self.done[what] += 1
        return answer


@asynccontextmanager
async def load(
    client: httpx.AsyncClient, people: int = 6, *, unavailable_is_wrong: bool = False
) -> AsyncIterator[Load]:
    """Load while the context lasts; at its end, every answer was right and every session lives."""
    under_way = Load(client, unavailable_is_wrong=unavailable_is_wrong)
    async with asyncio.TaskGroup() as group:
        for _ in range(people):
            group.create_task(under_way.live())
        try:
            await under_way.progress()
            yield under_way
            await under_way.progress()
        finally:
            under_way.end()
    assert not under_way.wrong, (under_way.wrong[:20], under_way.done)
