"""Requests that are not meant well, and what other calls and the memory feel of them.

Each kind comes evenly over the seconds of a round, from this process; the other calls from another.
"""

import asyncio
import secrets
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import repeat
from statistics import median

import msgspec

from tools.bench.harness import Generator, Place, alone, compared, place, trickles
from tools.bench.processes import Server, embedded
from tools.bench.results import Found, Row
from tools.http_load.connection import Endpoint
from tools.http_load.loops import Outcome
from tools.http_load.proc import resident
from tools.report.progress import StatusLine

_CALLS = ("me", "refresh")
_CROWD = 16  # connections of a round for each of --storm-connections: 1,024 by default
_WARM_UP = 0.5  # seconds
_GIVEN_BACK = 2.0  # seconds after which the service has given back what a flood took
_HEAD = b"Host: test\r\nContent-Type: application/json\r\n"
_CHUNKED = b"POST /auth/login HTTP/1.1\r\n" + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class _Kind(msgspec.Struct, frozen=True):
    """What one connection sends, and whether it then reads its answers or just stays."""

    name: str
    pieces: Callable[[], Iterable[bytes]]
    reads: bool = True
    share: float = 1.0
    """Of the crowd's connections."""


def _get(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: test", *headers, "", "")).encode()


_KINDS = (
    _Kind("queries of 60 kB", lambda: [_get(f"/health/live?{secrets.token_hex(30_000)}")]),
    _Kind("addresses of 60 kB", lambda: [
        _get("/health/live", f"X-Forwarded-For: {secrets.token_hex(30_000)}")
    ]),
    _Kind("unread answers", lambda: [_get("/schema/openapi.json") * 1000], False, 0.1),
    _Kind("trailers of 32 MB", lambda: [_CHUNKED + b"0\r\n", *repeat(b"a:\r\n" * 16_384, 512)],
          share=0.005),
    _Kind("bodies of single bytes", lambda: [_CHUNKED, *repeat(b"1\r\n[\r\n" * 1000, 60)],
          share=0.02),
    _Kind("silent connections", list, False),
    _Kind("half heads", lambda: [b"GET /health/live HTTP/1.1\r\nA: " + b"a" * 30_000], False),
    _Kind("half bodies", lambda: [
        b"POST /auth/login HTTP/1.1\r\n" + _HEAD + b"Content-Length: 900\r\n\r\n{"
    ], False),
)  # fmt: skip


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure rounds on one worker: the other calls alone, then beside each kind."""
    idle: list[Outcome] = []
    beside: dict[_Kind, list[Outcome]] = {kind: [] for kind in _KINDS}
    grown: dict[_Kind, list[float]] = {kind: [] for kind in _KINDS}
    crowd = told.storm_connections * _CROWD
    async with place(embedded(told.redis)) as here:
        with here.service() as service, Generator() as others:
            run = _Run(here, service, others)
            for kind in _KINDS:  # what is made once is made before memory is looked at
                await run.beside(kind, crowd, min(_WARM_UP, told.seconds))
            for step in tell.rounds(told.storm_rounds, "hostile requests"):
                idle.append(await alone(others, here, service, _CALLS, told.seconds))
                for kind in _KINDS:
                    tell(f"{step}, {kind.name}")
                    before = resident(service.pid)
                    beside[kind].append(await run.beside(kind, crowd, told.seconds))
                    service.wait_until_quiet()
                    await asyncio.sleep(_GIVEN_BACK)
                    grown[kind].append((resident(service.pid) - before) / 1e6)
    note = (
        f"Each kind comes from up to {crowd:,} connections, evenly over {told.seconds:g} s; "
        f"{told.storm_rounds} rounds taken together, memory the median."
    )
    rows = [row for kind in _KINDS for row in _rows(kind, idle, beside[kind], grown[kind])]
    return Found(rows, {"hostile": note})


class _Run(msgspec.Struct, frozen=True):
    """One worker, and a client that means well."""

    here: Place
    service: Server
    others: Generator

    async def beside(self, kind: _Kind, crowd: int, seconds: float) -> Outcome:
        """Send the other calls beside a crowd."""
        loops = await trickles(self.here.seeder, _CALLS, seconds)
        connections = max(1, round(crowd * kind.share))
        over = asyncio.Event()
        hostile = [
            asyncio.create_task(
                _connection(self.service.endpoint, kind, number / connections * seconds, over)
            )
            for number in range(connections)
        ]
        outcome = await self.others.open(self.service, loops)
        over.set()
        await asyncio.gather(*hostile)
        return outcome


async def _connection(endpoint: Endpoint, kind: _Kind, delay: float, over: asyncio.Event) -> None:
    """Send what a connection of this kind does, and stay until all is over, or it is closed."""
    await asyncio.sleep(delay)
    with suppress(OSError):
        reader, writer = await asyncio.open_connection(endpoint.address, endpoint.port)
        sending = asyncio.create_task(_send(writer, kind.pieces()))
        if kind.reads:
            ending = asyncio.create_task(over.wait())
            await asyncio.wait({sending, ending}, return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(reader.read(65_536), 1)
        else:
            await over.wait()
        sending.cancel()
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> None:
    with suppress(OSError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()


def _rows(
    kind: _Kind, idle: list[Outcome], beside: list[Outcome], grown: list[float]
) -> Iterator[Row]:
    like = Row("hostile", "", "", 0, by=kind.name)
    yield from compared(_CALLS, idle, beside, like)
    memory = msgspec.structs.replace(like, call="memory kept")
    yield memory.figure("resident", round(median(grown), 1), "MB", limit=20)
