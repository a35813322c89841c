"""Sends what waits in the outbox, from every process that serves.

A message is taken for a lease, sent, and forgotten once the server has it. Who is killed between
these leaves it to the others, when the lease is over: so a mail may come twice, with one
`Message-ID`, and never not at all. What was kept here is looked for at once; what others have left,
every few seconds.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from service.clock import Clock
from service.errors import KeyServiceUnavailable, SealBroken, StoreUnavailable
from service.keyring.envelope import Keyring
from service.mail import scripts
from service.mail.composing import Composer, NotSendable
from service.mail.messages import Message, unseal
from service.mail.outbox import Outbox
from service.mail.transports import NotSent, Refused, Transport
from service.redis.client import RedisClient
from service.redis.every_bucket import answered, ask_each
from service.redis.keys import BUCKETS, numbered
from service.repeating import repeat
from service.sessions.origin import NOBODY

log = structlog.get_logger()

_SWEEP = 5.0
"""Seconds between two looks at all buckets."""

_PAUSE_OF_REDIS = 0.5
"""Seconds until Redis is told again what it did not hear."""

_LEAVE = 1.0
"""Seconds that a mail which is under way has at the end: whatever was not noted is sent twice."""

_WORKERS = 4
_LONGEST_PAUSE = 30.0
"""Seconds that nothing is tried while no server is reached; it begins with one, and doubles."""


class MailState(msgspec.Struct):
    """What is known of the outbox, for readiness and metrics."""

    queued: int = 0
    oldest: float = 0.0
    """When the oldest of them was kept, seconds since 1970; 0 where nothing waits."""
    problem: str = ""
    """Why the last try has failed, if it has."""


class Sender:
    """Sends the messages of one Redis. `open_transport` makes a transport for each worker."""

    def __init__(
        self,
        redis: RedisClient,
        keyring: Keyring,
        composer: Composer,
        outbox: Outbox,
        open_transport: Callable[[], Transport],
        clock: Clock,
    ) -> None:
        self._redis = redis
        self._keyring = keyring
        self._composer = composer
        self._outbox = outbox
        self._open = open_transport
        self._clock = clock
        self._due: dict[int, float] = {}  # by bucket, when there is something to do
        self._woken = asyncio.Event()
        self._stopping = False
        self._paused_until, self._pause = 0.0, 0.0
        self._waiting: dict[int, tuple[int, int]] = {}
        self.state = MailState()
        outbox.on_kept = self.wake

    def wake(self, bucket: int) -> None:
        """Look at a bucket as soon as may be."""
        self._due[bucket] = 0.0
        self._woken.set()

    async def run(self) -> None:
        """Send until it is cancelled."""
        workers = [asyncio.create_task(self._work()) for _ in range(_WORKERS)]
        try:
            await repeat("mail", self._sweep, _SWEEP)
        finally:
            self._stopping = True
            self._woken.set()
            _, pending = await asyncio.wait(workers, timeout=_LEAVE)
            while pending:  # libraries can lose a cancellation that comes as a reply does
                for worker in pending:
                    worker.cancel()
                _, pending = await asyncio.wait(pending, timeout=0.2)

    async def _sweep(self) -> None:
        boxes = {bucket: {"box": numbered(bucket).mail} for bucket in range(BUCKETS)}
        lengths = answered(await ask_each(self._redis, scripts.length, boxes))
        for bucket, length in lengths.items():
            if length == 0:
                self._waiting.pop(bucket, None)
            elif bucket not in self._due:
                self.wake(bucket)
        self._tell()

    async def _work(self) -> None:
        transport = self._open()
        try:
            while not self._stopping:
                bucket = self._next_bucket()
                if bucket is None:
                    await transport.aclose()
                    await self._rest()
                    continue
                try:
                    await self._look(bucket, transport)
                except (StoreUnavailable, KeyServiceUnavailable):
                    self._due[bucket] = time.monotonic() + 1
                except Exception as error:  # a defect here must not end the task
                    log.error("mail", exc_info=error)
                    self._due[bucket] = time.monotonic() + _SWEEP
        finally:
            await transport.aclose()

    def _next_bucket(self) -> int | None:
        now = time.monotonic()
        if now < self._paused_until or not self._due:
            return None
        bucket = min(self._due, key=lambda each: self._due[each])
        return bucket if self._due[bucket] <= now else None

    async def _rest(self) -> None:
        """Wait until there is something to do."""
        now = time.monotonic()
        first = max(min(self._due.values(), default=now + _SWEEP), self._paused_until)
        self._woken.clear()
        if first > now and not self._stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(first - now, _SWEEP)):
                    await self._woken.wait()

    async def _look(self, bucket: int, transport: Transport) -> None:
        """Take a message of this bucket, if there is one to be sent now, and send it."""
        self._due[bucket] = time.monotonic() + _SWEEP  # unless more is known
        waiting, oldest, next_in, *taken = await scripts.take_next(
            self._redis, box=numbered(bucket).mail
        )
        self._waiting[bucket] = waiting, oldest
        if next_in < 0:
            self._due.pop(bucket, None)
            self._waiting.pop(bucket, None)
        else:
            # No later than at the next sweep: others may add to what one of us is sending.
            self._due[bucket] = time.monotonic() + min(next_in / 1000, _SWEEP)
            if taken:
                self._woken.set()
        if taken:
            await self._deliver(bucket, taken[0], transport)
        self._tell()

    async def _deliver(self, bucket: int, taken: list[Any], transport: Transport) -> None:
        entry, tries, user, message_id, sealed = taken
        user_id, box = bytes.fromhex(user.decode()), numbered(bucket).mail
        kind, reason, is_last = "unknown", "", tries >= scripts.TRIES
        try:
            message = unseal(self._keyring, user_id, message_id, sealed)
            kind = message.kind
            await self._send(message, transport)
        except (SealBroken, msgspec.ValidationError):
            reason = "unreadable" if is_last else ""
        except (NotSendable, Refused):
            reason = "refused"
        except _Over:
            reason = "expired"
        except (NotSent, TimeoutError) as error:
            self._fail(error)
            reason = "tries" if is_last else ""
        except KeyServiceUnavailable:
            raise
        except Exception as error:  # a defect of ours must not keep a message for ever
            log.error("mail", exc_info=error)
            reason = "tries" if is_last else ""
        else:
            await self._forget(box, entry)
            self._outbox.count(kind, "sent")
            return
        if not reason:
            await scripts.try_later(self._redis, box=box, entry=entry)
            self._outbox.count(kind, "retried")
            return
        log.warning("mail failed", kind=kind, reason=reason, user=user.decode())
        await scripts.give_up(
            self._redis, user_id, NOBODY, box=box, entry=entry, purpose=kind, reason=reason
        )
        self._outbox.count(kind, "failed")

    async def _forget(self, box: bytes, entry: bytes) -> None:
        """Note that a message was sent, while it is still ours: otherwise it is sent once more."""
        until = time.monotonic() + scripts.SENDING_TIME.total_seconds()
        while True:
            try:
                await scripts.sent(self._redis, box=box, entry=entry)
                return
            except StoreUnavailable:
                if time.monotonic() >= until:
                    raise
            await asyncio.sleep(_PAUSE_OF_REDIS)

    async def _send(self, message: Message, transport: Transport) -> None:
        if message.is_over(self._clock()):
            raise _Over
        mail = self._composer.compose(message)
        async with asyncio.timeout(scripts.SENDING_TIME.total_seconds()):
            await transport.send(mail)
        self._pause, self.state.problem = 0.0, ""

    def _fail(self, error: Exception) -> None:
        self.state.problem = str(error) or "the server is too slow"
        log.warning("mail not sent", reason=self.state.problem)
        if not isinstance(error, NotSent) or error.for_all:
            self._pause = min(max(1.0, 2 * self._pause), _LONGEST_PAUSE)
            self._paused_until = time.monotonic() + self._pause

    def _tell(self) -> None:
        """Bring `state` up to date."""
        self.state.queued = sum(waiting for waiting, _ in self._waiting.values())
        oldest = [since for _, since in self._waiting.values() if since]
        self.state.oldest = min(oldest) / 1000 if oldest else 0.0


class _Over(Exception):
    """The link in a message works no more."""
