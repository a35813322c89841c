"""A log that writes what may happen at each request once a minute at most."""

import logging
import time

logger = logging.getLogger("openshow_auth.guard")

_EVERY = 60.0
_SHOWN = 200


class RateLimitedLog:
    """Writes each kind of message once a minute at most, so that none hides another.

    Kinds are told apart by the text before the arguments are put in.
    """

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}

    def warning(self, message: str, *arguments: object) -> None:
        """Log a warning, as `logging` does."""
        self._log(logging.WARNING, message, arguments, None)

    def error(self, message: str, *arguments: object, defect: BaseException | None = None) -> None:
        """Log an error, as `logging` does; with the traceback of a defect."""
        self._log(logging.ERROR, message, arguments, defect)

    def _log(
        self,
        level: int,
        message: str,
        arguments: tuple[object, ...],
        defect: BaseException | None,
    ) -> None:
        now = time.monotonic()
        if now - self._told_at.get(message, float("-inf")) >= _EVERY:
            self._told_at[message] = now
            logger.log(level, message, *arguments, exc_info=defect)


def shown(text: str) -> str:
    """Make a text that comes from outside quoted, printable and not long."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
