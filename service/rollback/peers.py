"""Tells other processes, through Redis itself, what this one alone knows, and waits for theirs.

For a second a process may be the only one that knows what it has ended (`journal`). The user store
tells the others, but may be locked or slow; meanwhile they would serve, from a Redis that was put
back, what is over. So whoever connects to a server that it has not met, which its run id tells,
writes there what is missing by what it knows (`revocations:joined:{b}:<process>`), and serves none
of the server's buckets before all other processes have written as well: those that the user store
says are running (`presence.py`), for `PATIENCE` seconds at the most. Nothing is on the way of a
request. It works as far as our user may ask who a server is (INFO).
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec
import structlog
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.redis.fence import Fence
from service.redis.identity import Identity, identity_of
from service.redis.keys import BUCKETS, JOINED_LIFE, numbered
from service.redis.node import Node
from service.rollback.presence import OVERDUE
from service.rollback.reading import Numbers, number_in, replies_on

log = structlog.get_logger()

PATIENCE, _LITTLE = 5.0, 1.5
"""Seconds that one is waited for that runs, as far as is known, and does not tell: the fewer where
it should have said again by now that it runs."""

_AGAIN_EVERY = JOINED_LIFE.total_seconds() / 4
_LIFE = round(JOINED_LIFE.total_seconds() * 1000)


class _Wait(msgspec.Struct):
    """Who has not told yet, and until when that is waited for (by `time.monotonic`)."""

    run_id: str
    until: dict[bytes, float]


class _Told(msgspec.Struct, frozen=True):
    """What server we have told, and when; 0: it has not taken it yet."""

    run_id: str = ""
    at: float = 0.0


class Peers:
    """What this process has told, and whom it waits for, in each part of Redis with its own keys:
    a bucket of a cluster, or all of them together."""

    def __init__(
        self, redis: RedisClient, owner: bytes, fence: Fence, *, tells: bool = True
    ) -> None:
        """Tell nothing yet. `redis` must not be fenced. `owner`: what this process is known by.

        A command tells nothing, as it has told the user store before it ends anybody's session.
        """
        self._redis = redis
        self._tells = tells
        self._owner = owner
        self._fence = fence
        self._in_cluster = redis.topology == "cluster"
        self._waits: dict[int, _Wait] = {}
        self._told: dict[int, _Told] = {}

    async def join_on(
        self,
        connection: AbstractConnection,
        expected: Sequence[int],
        numbers: Numbers,
        living: Mapping[bytes, float],
    ) -> None:
        """Tell a server that has these `numbers` what was `expected` before they were read, before
        a connection to it is used; and fence its buckets until those who are `living` have told.

        What others have told counts as answered for here, too. `living`: for how many seconds each
        is known to run.

        Raises:
            redis.exceptions.RedisError, OSError: the connection has broken, or may not tell.
        """
        run_id = (await identity_of(connection)).run_id
        if not run_id:
            return
        missed = {part: self._missed(part, expected, numbers) for part in self._parts(numbers)}
        news = [part for part in missed if self._told_to(part) != run_id]
        now = time.monotonic()
        for part in news:  # from here on other connections to it are too late, and need not wait
            self._told[part] = _Told(run_id)
            until = {each: now + _patience(left) for each, left in living.items()}
            self._waits[part] = _Wait(run_id, until)
        waits = {part: self._waits[part] for part in news}
        self._close()
        tells = [part for part in missed if part in waits or missed[part]]
        with suppress(exceptions.ResponseError):  # it takes no writes now: told later (`tell`)
            if tells and self._tells:
                await replies_on(connection, [self._set(part, missed[part]) for part in tells])
                self._note_told(tells, run_id)
        if news and living:
            asked = [self._get(part, living) for part in news]
            for place, values in (await replies_on(connection, asked)).items():
                self._hear(news[place], waits[news[place]], list(living), values)
        self.release({part: wait for part, wait in waits.items() if not wait.until})

    async def join_at(self, node: Node, expected: Sequence[int], numbers: Numbers) -> None:
        """Tell a server that is connected to, and has got these buckets. Never raises.

        Nobody is waited for: slots of a cluster that are moved lose nothing.
        """
        if not self._tells:
            return
        with suppress(exceptions.RedisError, OSError):  # who serves it meets the same
            run_id = Identity.read(await node.ask(("INFO", "server"), False)).run_id

            async def one(part: int) -> None:
                self._told[part] = _Told(run_id)
                await node.ask(self._set(part, self._missed(part, expected, numbers)), False)
                self._note_told([part], run_id)

            if run_id:
                await asyncio.gather(*map(one, self._parts(numbers)))

    async def tell(
        self, expected: Sequence[int], numbers: Numbers, floors: Mapping[int, bool]
    ) -> None:
        """Tell again where that is due: it was not taken, may be forgotten soon, or was forgotten
        with all else, as `floors` show (which buckets have one). Never raises."""
        if not self._tells:
            return
        now = time.monotonic()
        emptied = set(self._parts([bucket for bucket, is_there in floors.items() if not is_there]))

        async def one(part: int, told: _Told) -> None:
            missed = self._missed(part, expected, numbers)
            with suppress(StoreUnavailable):
                await self._redis.execute(*self._set(part, missed))
                if told.run_id != self._told_to(part):  # one that has just started may have got it
                    await self._redis.execute(*self._set(part, missed))
                self._note_told([part], self._told_to(part))

        due = [
            (part, told)
            for part, told in self._told.items()
            if now - told.at >= _AGAIN_EVERY or part in emptied
        ]
        await asyncio.gather(*(one(*each) for each in due if each[0] in numbers))

    async def hear(self) -> Mapping[int, _Wait]:
        """Ask what those have told who are waited for. Return where all have, or time is up.

        What they have told counts as answered for here: compare, then `release`. Never raises.
        """

        async def one(part: int, wait: _Wait) -> None:
            asked = list(wait.until)
            with suppress(StoreUnavailable):
                if asked:
                    values = await self._redis.execute(*self._get(part, asked))
                    self._hear(part, wait, asked, values)

        waits = dict(self._waits)
        await asyncio.gather(*(one(*each) for each in waits.items()))
        now = time.monotonic()
        silent = {each for wait in waits.values() for each, at in wait.until.items() if at <= now}
        if silent:
            log.warning("redis.peersSilent", processes=len(silent))
        for wait in waits.values():
            wait.until = {each: at for each, at in wait.until.items() if at > now}
        return {part: wait for part, wait in waits.items() if not wait.until}

    def release(self, over: Mapping[int, _Wait]) -> None:
        """Wait no longer in these parts, unless their servers have started anew meanwhile."""
        for part, wait in over.items():
            if self._waits.get(part) is wait:
                del self._waits[part]
        self._close()

    def _hear(
        self, part: int, wait: _Wait, asked: Sequence[bytes], values: Sequence[bytes | None]
    ) -> None:
        """Take over what was told of this server by those that were `asked`."""
        buckets = {b"%d" % bucket for bucket in self._buckets_of(part)}
        for process, value in zip(asked, values, strict=True):
            run_id, *missed = (value or b"").split(b" ")
            if run_id != wait.run_id.encode():
                continue
            wait.until.pop(process, None)
            for each in missed:
                bucket, _, number = each.partition(b":")
                if bucket in buckets:
                    self._fence.expect(int(bucket), number_in(number))

    def _missed(self, part: int, expected: Sequence[int], numbers: Numbers) -> str:
        """Say what is missing in a part of a server that has these `numbers`."""
        return "".join(
            f" {bucket}:{expected[bucket]}"
            for bucket in self._buckets_of(part)
            if expected[bucket] > numbers.get(bucket, 0)
        )

    def _buckets_of(self, part: int) -> Sequence[int]:
        return [part] if self._in_cluster else range(BUCKETS)

    def _set(self, part: int, missed: str) -> tuple[Argument, ...]:
        key = numbered(part).joined + self._owner
        return ("SET", key, self._told_to(part) + missed, "PX", _LIFE)

    def _told_to(self, part: int) -> str:
        return self._told.get(part, _Told()).run_id

    def _note_told(self, parts: Iterable[int], run_id: str) -> None:
        for part in parts:
            if self._told_to(part) == run_id:
                self._told[part] = _Told(run_id, time.monotonic())

    def _parts(self, buckets: Collection[int]) -> list[int]:
        together = [0] if buckets else []
        return list(buckets) if self._in_cluster else together

    def _get(self, part: int, processes: Iterable[bytes]) -> tuple[Argument, ...]:
        return ("MGET", *(numbered(part).joined + each for each in processes))

    def _close(self) -> None:
        waited = {part for part, wait in self._waits.items() if wait.until}
        every = waited if self._in_cluster else set(range(BUCKETS))
        self._fence.close(awaited=every if waited else set())


def _patience(left: float) -> float:
    """Tell how long to wait for a process that is known to run for so many seconds."""
    return min(left, PATIENCE, _LITTLE if left < OVERDUE else PATIENCE)
