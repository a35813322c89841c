"""A progress bar on the terminal, for commands that take their time."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

_WIDTH = 24
_REDRAWN = 0.1
"""Seconds between two drawings."""


class Progress:
    """Counts up to `total`. On a terminal it draws a bar; elsewhere it says the result, once."""

    def __init__(self, what: str, total: int, stream: TextIO = sys.stderr) -> None:
        self._what = what
        self._total = total
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._drawn = 0.0
        self.done = 0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._on_terminal:
            self._draw()
            self._stream.write("\n")
        else:
            self._stream.write(f"{self._what}: {self._figures()}\n")

    def advance(self, count: int) -> None:
        """Count so many more as done."""
        self.done += count
        if self._on_terminal and time.monotonic() - self._drawn >= _REDRAWN:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        share = min(1.0, self.done / self._total) if self._total else 1.0
        bar = "█" * round(share * _WIDTH)
        line = f"\r{self._what} {bar:░<{_WIDTH}} {share:4.0%}  {self._figures()} "
        self._stream.write(line)
        self._stream.flush()

    def _figures(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-3)
        return f"{self.done:,} of {self._total:,}, {self.done / seconds:,.0f} a second"
