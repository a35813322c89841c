"""Clients that refresh their sessions over and over, and know what became of each request."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import httpx
from tools.testbed.service_process import Person, sign_up

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Caller:
    """One client and its session. It tries another time only where it could not connect."""

    def __init__(
        self, person: Person, host: str, port: int, *, keep_alive: bool, pause: float
    ) -> None:
        """`pause` is in seconds, between two calls."""
        self.person = person
        self.answers = Counter[int]()
        self.refused = 0
        self.lost: list[str] = []
        """Requests that were sent, and to which no whole answer came."""
        self.reset = 0
        """Connections that were reset before anything came of them: the kernel takes connections
        until a listener is closed, and resets those that came after the last that was accepted."""
        self.hung_up = 0
        """Answers after which the service has asked to connect anew."""
        self._address = (host, port)
        self._keep_alive = keep_alive
        self.pause = pause
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        """Refresh until cancelled."""
        try:
            while True:
                await self._call()
                await asyncio.sleep(self.pause)
        finally:
            self._close()

    async def _call(self) -> None:
        is_new = self._stream is None
        if self._stream is None:
            try:
                self._stream = await asyncio.open_connection(*self._address)
            except ConnectionRefusedError:
                self.refused += 1
                await asyncio.sleep(0.02)
                return
        try:
            head, body = await self._exchange(*self._stream)
        except (OSError, asyncio.IncompleteReadError) as error:
            if is_new and isinstance(error, ConnectionResetError):
                self.reset += 1
            else:
                self.lost.append(repr(error))
            self._close()
            return
        status = int(head[9:12])
        self.answers[status] += 1
        if status == 200:
            self.person.tokens = json.loads(body)
        if b"\r\nconnection: close" in head.lower():
            self.hung_up += 1
            self._close()
        elif not self._keep_alive:
            self._close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[bytes, bytes]:
        body = json.dumps({"refreshToken": self.person.tokens["refreshToken"]}).encode()
        writer.write(
            b"POST /auth/refresh HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return head, await reader.readexactly(int(length[1]) if length else 0)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None


class Crowd:
    """Callers that all call at once."""

    def __init__(self, callers: list[Caller]) -> None:
        self.callers = callers

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Call ten times a second each while this lasts: what starts meanwhile needs the cores."""
        paces = [caller.pause for caller in self.callers]
        for caller in self.callers:
            caller.pause = max(caller.pause, 0.1)
        yield
        for caller, pace in zip(self.callers, paces, strict=True):
            caller.pause = pace

    @property
    def answers(self) -> Counter[int]:
        return sum((caller.answers for caller in self.callers), Counter())

    @property
    def refused(self) -> int:
        return sum(caller.refused for caller in self.callers)

    @property
    def hung_up(self) -> int:
        return sum(caller.hung_up for caller in self.callers)

    @property
    def reset(self) -> int:
        return sum(caller.reset for caller in self.callers)

    @property
    def lost(self) -> list[str]:
        return [error for caller in self.callers for error in caller.lost]


@asynccontextmanager
async def crowd(url: str, size: int = 16, pause: float = 0) -> AsyncIterator[Crowd]:
    """So many people who refresh again and again; every other connects anew each time."""
    address = httpx.URL(url)
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        people = [await sign_up(client) for _ in range(size)]
    callers = [
        Caller(person, address.host, address.port or 80, keep_alive=bool(number % 2), pause=pause)
        for number, person in enumerate(people)
    ]
    tasks = [asyncio.create_task(caller.run()) for caller in callers]
    try:
        yield Crowd(callers)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
