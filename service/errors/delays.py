"""What is refused for now, and worth trying again later."""

from collections.abc import Awaitable, Callable, Sequence

from service.errors.root import ServiceError


class Delayed(ServiceError):
    """Refused for now; worth trying again after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"try again in {retry_after} s")
        self.retry_after = max(1, retry_after)


class TooManyAttempts(Delayed):
    """A limit on attempts is reached; right credentials are refused as well.

    `limits`: which of those that were asked, by their place, where that is known; `reached`: the
    same by name, digest of what is limited, and window in ms. `find_user` finds whom it is about.
    """

    def __init__(
        self,
        retry_after: int,
        limits: Sequence[int] = (),
        reached: Sequence[tuple[str, bytes, int]] = (),
    ) -> None:
        super().__init__(retry_after)
        self.limits = limits
        self.reached = reached
        self.find_user: Callable[[], Awaitable[bytes]] | None = None


class Overloaded(Delayed):
    """More work is waiting than can be done in time, so this piece was not begun."""
