"""Structured logs on standard output: a JSON object a line, or a line for people at a terminal.

Never in a log: bodies, headers, query strings, tokens, passwords, e-mail addresses.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import structlog

from service import streams
from service.console_log import ConsoleForm, exception_on_a_line

Format = Literal["json", "console"]

_encoder = msgspec.json.Encoder(enc_hook=str)
_level = logging.INFO
_as_bytes: Callable[[Any], bytes] = _encoder.encode
"""Spells a record, which is a mapping or a struct with a tag."""
_gathered: list[bytes] = []
_writes_in: asyncio.AbstractEventLoop | None = None
"""The event loop that is to write what has gathered: another than that of now may have ended."""


def configure(level: str, form: Format | None = None) -> None:
    """Set up logging for this process. `level` is one of debug, info, warning, error.

    Without a `form` it is that for people where standard output is a terminal.
    """
    global _level, _as_bytes
    _level = logging.getLevelNamesMapping()[level.upper()]
    for_people = form == "console" if form else _is_terminal()
    _as_bytes = _on_console(ConsoleForm()) if for_people else _encoder.encode
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.ExceptionRenderer(exception_on_a_line)
        if for_people
        else structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    # The libraries' own: at debug level some of them show what travels, so never below info.
    logging.basicConfig(level=max(_level, logging.INFO), handlers=[_Foreign(shared)], force=True)
    logging.captureWarnings(True)
    streams.say_of_dropped_lines(_dropped)


def shows_requests() -> bool:
    """Tell whether a line for each request is wanted."""
    return _level <= logging.INFO


def write(line: msgspec.Struct) -> None:
    """Write a line as it is, in one call with all others of this turn of the event loop.

    For what every request pays, structlog's way is too long, and a system call too much.
    """
    global _writes_in
    loop = asyncio.get_running_loop()
    if not _gathered or _writes_in is not loop:
        _writes_in = loop
        loop.call_soon(_write_gathered)
    _gathered.append(_as_bytes(line))


def _write_gathered() -> None:
    if _gathered:
        text = b"\n".join(_gathered)
        _gathered.clear()
        _write(text)


def _write(lines: bytes) -> None:
    try:
        # Waits for nobody where `streams.write_without_blocking` is on.
        sys.stdout.buffer.write(lines + b"\n")
        sys.stdout.buffer.flush()
    except (OSError, ValueError, AttributeError):  # closed, from the start perhaps (None): nobody
        pass  # reads it, and requests matter more


def _is_terminal() -> bool:
    try:
        return sys.stdout.isatty()
    except (OSError, ValueError, AttributeError):  # as above
        return False


def _on_console(form: ConsoleForm) -> Callable[[Any], bytes]:
    def spell(record: Any) -> bytes:
        if isinstance(record, msgspec.Struct):
            record = _fields(record)
        return form(record).encode("utf-8", "backslashreplace")

    return spell


def _fields(line: msgspec.Struct) -> Mapping[str, Any]:
    """Return the fields of a line that it tells, as the JSON has them."""
    there = {
        name: value for name, value in msgspec.structs.asdict(line).items() if value is not None
    }
    return {"event": type(line).__struct_config__.tag, **there}


def _dropped(lines: int) -> bytes:
    """Spell the record that stands in the place of so many lines that nobody has read."""
    record = {
        "event": f"log lines dropped: {lines}",
        "dropped": lines,
        "level": "warning",
        "time": datetime.now(UTC),
    }
    return _as_bytes(record) + b"\n"


def _render(_: Any, __: str, record: Any) -> bytes:
    return _as_bytes(record)


class _Lines:
    """The logger to which structlog hands its lines."""

    def __init__(self, *_: Any) -> None:
        pass

    def msg(self, line: bytes) -> None:
        _write(line)

    debug = info = warning = error = critical = msg


class _Foreign(logging.Handler):
    """A handler that writes records of the standard library's logging in the same form."""

    def __init__(self, shared: list[structlog.typing.Processor]) -> None:
        super().__init__(logging.INFO)
        self._formatter = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                lambda *record: _render(*record).decode(),
            ],
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(self._formatter.format(record).encode("utf-8", "backslashreplace"))
        except Exception:  # as logging's own handlers do: a bad message must not stop the program
            self.handleError(record)
