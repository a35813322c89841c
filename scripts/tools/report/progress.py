"""What is told to whoever waits at a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.cli.progress import Progress


class StatusLine:
    """One line on stderr that is written over; `logged`: where nobody watches, a line for each."""

    def __init__(self, *, logged: bool = False, timed: bool = False) -> None:
        """Begin each, if `timed`, with the seconds since this was made."""
        self.is_watched = sys.stderr.isatty()
        self._logged = logged
        self._timed = timed
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        """Show it in the place of the one before."""
        since = f"{time.monotonic() - self._began:6.1f} s  " if self._timed else ""
        if self.is_watched:
            print(f"\r\033[K{since}{text}", end="", file=sys.stderr, flush=True)
        elif self._logged:
            print(f"{since}{text}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self.is_watched:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def rounds(self, count: int, what: str) -> Iterator[str]:
        """Count rounds, and say which it is; yield what was said, to be said with more."""
        for number in range(count):
            self(text := f"round {number + 1} of {count}: {what}")
            yield text

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Progress]:
        """Have a bar in the line's place."""
        self.end()
        with Progress(what, total) as progress:
            yield progress


def agreed(what: str) -> bool | None:
    """Ask on the terminal whether to go on with it. None where nobody can be asked."""
    if not sys.stdin.isatty():
        return None
    print(f"{what}\nGo on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
