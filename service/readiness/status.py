"""Finds out whether the parts that the service needs can serve.

Whoever asks need not prove who they are, and may ask as often as they like. So a look is shared by
all who ask while it lasts, and only so many looks are made in a second: beyond that, the answer is
that of the last one. Who asks now and then gets a look of their own.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

import msgspec
import structlog

from service.repeating import repeat

log = structlog.get_logger()

PATIENCE = 1.5
"""Seconds a part has to answer. Whoever asks for readiness gets an answer within two."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one part: `message` for people, `facts` for programs."""

    ok: bool
    message: str
    facts: Mapping[str, str] = {}
    warning: bool = False
    """It serves, but somebody should see to it; the message says why."""

    def in_short(self) -> "Part":
        """Return what anybody may know: whether it serves."""
        return Part(self.ok, "It can serve." if self.ok else "It cannot serve.")


class Readiness(msgspec.Struct, frozen=True):
    """The state of all parts; ready when all are. `process` is there only while it stops,
    and `mail` where mail is on."""

    redis: Part
    users: Part
    keyring: Part
    clock: Part
    process: Part | msgspec.UnsetType = msgspec.UNSET
    mail: Part | msgspec.UnsetType = msgspec.UNSET

    @property
    def ok(self) -> bool:
        """Whether the service can do all that it is for."""
        return self.ok_without()

    def ok_without(self, ignored: Collection[str] = ()) -> bool:
        """Tell whether the service can do all that it is for, leaving out parts of these names."""
        return all(part.ok for name, part in self.parts().items() if name not in ignored)

    def parts(self) -> dict[str, Part]:
        """Return the parts that there are, by name."""
        named = msgspec.structs.asdict(self).items()
        return {name: part for name, part in named if part is not msgspec.UNSET}

    def stopping(self) -> "Readiness":
        """Return this readiness, of a process that has been asked to stop."""
        part = Part(False, "The process is stopping; ask another.")
        return msgspec.structs.replace(self, process=part)


class Problems(msgspec.Struct, frozen=True):
    """Problems found by tasks in the background: a sentence each, empty when all is well."""

    keys: Callable[[], str] = str
    feed: Callable[[], str] = str
    rollback: Callable[[], str] = str
    mail: Callable[[], Part | None] = lambda: None
    """The part itself: mail that does not go keeps nobody from serving."""


ALL_WELL = Problems()


class Probe:
    """Asks for the state of a part or several, within `PATIENCE`.

    What hangs is not asked again before it has ended: a disk that is gone holds up one look, not
    one for each who asks.
    """

    def __init__(self, name: str, ask: Callable[[], Awaitable[tuple[Part, ...]]]) -> None:
        """Prepare to `ask`, which returns one part or several. `name` begins a sentence."""
        self._name = name
        self._ask = ask
        self._asking: asyncio.Future[tuple[Part, ...]] | None = None

    async def __call__(self) -> tuple[Part, ...]:
        """Ask for the parts; where that fails or takes too long, return one part that says so."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
            self._asking.add_done_callback(_look_at)
        done, _ = await asyncio.wait({self._asking}, timeout=PATIENCE)
        if not done:
            return (Part(False, f"{self._name} does not answer."),)
        try:
            return self._asking.result()
        except Exception as error:  # whatever is wrong with a part, the answer is: not ready
            log.error("readiness", part=self._name, exc_info=error)
            return (Part(False, f"{self._name} answers with an error; see the log."),)

    def close(self) -> None:
        """Stop waiting for what is still asked."""
        if self._asking is not None:
            self._asking.cancel()


def _look_at(ended: "asyncio.Future[tuple[Part, ...]]") -> None:
    """Look at how a question ended, as nobody else may be there any more to do so."""
    if not ended.cancelled():
        ended.exception()


class SharedStatus:
    """Looks at all parts, at most `RATE` times a second for a while, whoever asks how often."""

    RATE, BURST = 2.0, 10.0
    EVERY = 30.0  # seconds between looks that nobody has asked for

    def __init__(self, look: Callable[[], Awaitable[Readiness]]) -> None:
        self._look = look
        self._looking: asyncio.Task[Readiness] | None = None
        self._last: Readiness | None = None
        self._allowance, self._counted = self.BURST, time.monotonic()
        self._said: dict[
            str, tuple[bool, str]
        ] = {}  # by part: whether all was well, and its message

    async def __call__(self) -> Readiness:
        """Return a look that is not older than this call, or than half a second when many ask."""
        if self._looking is None:
            if self._last is not None and not self._may_look():
                return self._last
            self._looking = asyncio.create_task(self._run())
        return await asyncio.shield(self._looking)

    async def keep_looking(self) -> None:
        """Look unasked, at once and then now and then, so that log and metrics tell what is wrong
        though nobody asks. It ends when it is cancelled."""
        await repeat("readiness", self, self.EVERY)

    @property
    def last(self) -> Readiness | None:
        """The last look, if there was one."""
        return self._last

    async def aclose(self) -> None:
        """End a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()

    async def _run(self) -> Readiness:
        try:
            self._last = await self._look()
            self._log_changes(self._last)
            return self._last
        finally:
            self._looking = None

    def _may_look(self) -> bool:
        now = time.monotonic()
        gained = (now - self._counted) * self.RATE
        self._allowance, self._counted = min(self.BURST, self._allowance + gained), now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _log_changes(self, readiness: Readiness) -> None:
        """Log what has changed since the last look, numbers aside."""
        for name, part in readiness.parts().items():
            fine = part.ok and not part.warning
            said = fine, re.sub(r"\d+", "", part.message)
            before, self._said[name] = self._said.get(name, (True, "")), said
            if said == before or (fine and before[0]):
                continue
            speak = log.info if fine else log.warning
            speak("readiness", part=name, ok=part.ok, message=part.message)
