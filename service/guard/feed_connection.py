"""What a reader of the feed reads over, and waits for entries by."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from .connection import Argument
from .entries import RawEntry

Found = dict[bytes, Sequence[RawEntry]]


class FeedConnection(Protocol):
    """A reader's connection, or its share in one. One question at a time."""

    async def ask(self, *command: Argument, patience: float) -> Any:
        """Send a command and return its reply; as `Connection.ask`."""

    def follow(self, positions: Iterable[tuple[bytes, bytes]], count: int) -> None:
        """Wait for entries of these streams from now on, each after an id, `count` at a time."""

    def move(self, positions: Iterable[tuple[bytes, bytes]]) -> None:
        """Read some of these streams after another id from now on."""

    async def next(self, until: float, rest: float) -> Found | None:
        """Rest for so many seconds; then return the next entries, nothing at the time `until`.

        None: a look at everything is due at once.

        Raises:
            redis.exceptions.ResponseError: the server refuses.
            one of BROKEN: the connection broke; it is closed.
        """

    def send_now(self) -> None:
        """Rest no longer."""

    async def close(self) -> None:
        """Read no more over it."""
