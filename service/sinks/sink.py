"""What a sink is, and what is counted of it."""

from datetime import timedelta
from typing import Protocol

import msgspec

from service.sinks.batch import Batch


class Retries(msgspec.Struct, frozen=True):
    """How long is waited after a failure: twice as long each time, up to `longest`.

    After `most` failures of one event it is parked, and the next ones come; `None`: never.
    """

    first: timedelta
    longest: timedelta
    most: int | None = None


class Sink(Protocol):
    """A place that events are copied to."""

    name: str
    """Letters, digits and `-`: a part of the names of keys."""

    @property
    def starts_behind(self) -> str:
        """The entry of each stream behind which a sink that is new begins; the newest, if older."""

    at_once: int
    """The most events of a batch."""

    retries: Retries

    async def deliver(self, batch: Batch, seconds: float) -> int:
        """Take over a batch, from its first event on; return how many have arrived for sure.

        What has not arrived comes again, and so may what has. It begins nothing once `seconds`
        have passed. Raises `SinkFailed`.
        """

    async def aclose(self) -> None:
        """Let go of files and connections."""


class Counts(Protocol):
    """Where it is counted what becomes of events."""

    def sent(self, sink: str, events: int) -> None: ...
    def failed(self, sink: str) -> None: ...
    def parked(self, sink: str) -> None: ...
    def lag(self, sink: str, seconds: float) -> None: ...


class SinkFailed(Exception):
    """The next event has not arrived. The message says why, without what an answer held.

    `arrived`: how many had before it. `is_final`: the next one is parked, however seldom it failed.
    `is_refused`: by a sink that is well, which takes what follows at once.
    """

    def __init__(
        self, reason: str, arrived: int = 0, *, is_final: bool = False, is_refused: bool = False
    ) -> None:
        super().__init__(reason)
        self.arrived = arrived
        self.is_final = is_final or is_refused
        self.is_refused = is_refused
