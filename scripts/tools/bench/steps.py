"""What is being done, for whoever waits."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service.cli.progress import Progress


class Steps:
    """One line on stderr that is written over; where nobody watches, a line for each step."""

    def __call__(self, step: str) -> None:
        if sys.stderr.isatty():
            self.end()
            print(step, end="", file=sys.stderr, flush=True)
        else:
            print(step, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Progress]:
        """A bar in the line's place."""
        self.end()
        with Progress(what, total) as progress:
            yield progress
