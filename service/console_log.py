"""Log records for people at a terminal: one line each, in colour.

    05:12:03.481Z info     POST /auth/login 401 31.2 ms  203.0.113.9  invalid_credentials: …
    05:12:04.007Z warning  readiness  part=redis ok=False message=Redis does not answer.

What a record holds may come from elsewhere (an error's text, a library's message): a line feed
in it would be another line, and an escape sequence would be obeyed by the terminal. Both are
spelt out.
"""

import os
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

_DIM, _BOLD, _RED, _GREEN, _YELLOW, _CYAN = "2", "1", "31", "32", "33", "36"
_BY_LEVEL = {"debug": _DIM, "info": _GREEN, "warning": _YELLOW, "error": _RED, "critical": _RED}
_HEAD = ("time", "level", "event")
_REQUEST = ("method", "route", "status", "ms", "ip", "code", "reason")
_FRAMES = 12
"""Frames of a traceback that are shown, the innermost: those above are the framework's."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class ConsoleForm:
    """Spells records as lines. Without colours where `NO_COLOR` asks for that, or a dumb terminal.

    `NO_COLOR` is that of no-color.org: whatever it says, unless it is empty.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._colours = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    def __call__(self, record: Mapping[str, Any]) -> str:
        """Spell a record, without its line feed."""
        level = str(record.get("level", "info"))
        words = [
            self._in(_DIM, _time(record.get("time"))),
            self._in(_BY_LEVEL.get(level, _RED), level.ljust(7)),
        ]
        if record.get("event") == "request" and "route" in record:
            words += [self._request(record), *self._fields(record, (*_HEAD, *_REQUEST))]
        else:
            event = self._in(_BOLD, _printable(str(record.get("event", ""))))
            words += [event, *self._fields(record, _HEAD)]
        return " ".join(words)

    def _request(self, record: Mapping[str, Any]) -> str:
        status = record["status"]
        colour = _GREEN if status < 400 else _YELLOW if status < 500 else _RED
        what = _printable(f"{record['method']} {record['route']}")
        parts = [
            f"{self._in(_BOLD, what)} {self._in(colour, str(status))} {record['ms']} ms",
            _printable(record.get("ip") or "-"),
        ]
        if code := record.get("code"):
            parts.append(self._in(colour, _printable(code)) + _printable(f": {record['reason']}"))
        return "  ".join(parts) + " "

    def _fields(self, record: Mapping[str, Any], shown: tuple[str, ...]) -> list[str]:
        return [
            f"{self._in(_CYAN, _printable(name))}={_printable(str(value))}"
            for name, value in record.items()
            if name not in shown
        ]

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


def exception_on_a_line(exc_info: ExcInfo) -> str:
    """Spell an exception, where it came from, and those that it came of."""
    parts: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(parts) < _FRAMES:
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        places = [f"{_short(f.filename)}:{f.lineno} in {f.name}" for f in reversed(frames)]
        parts.append(" < ".join([f"{type(error).__name__}: {error}", *places]))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "; caused by ".join(parts)


def _short(path: str) -> str:
    return "/".join(path.rsplit("/", 2)[-2:])


def _time(at: Any) -> str:
    """Spell the time of the day: who looks at a terminal knows the date."""
    if isinstance(at, datetime):
        return f"{at.astimezone(UTC):%H:%M:%S}.{at.microsecond // 1000:03}Z"
    text = str(at or "")  # 2026-11-26T05:12:03.481234Z
    return _printable(text[11:23] + "Z") if len(text) > 23 else _printable(text)


def _printable(text: str) -> str:
    """Escape what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
