"""Structured logs: one JSON object a line on standard output.

Never in a log: bodies, headers, query strings, tokens, passwords, e-mail addresses.
"""

import asyncio
import logging
import sys
from typing import Any

import msgspec
import structlog

_SHARED: list[structlog.typing.Processor] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    structlog.processors.format_exc_info,
]

_encoder = msgspec.json.Encoder(enc_hook=str)
_level = logging.INFO
_gathered: list[bytes] = []


def configure(level: str) -> None:
    """Set up logging for this process. `level` is one of debug, info, warning, error."""
    global _level
    _level = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_SHARED, structlog.processors.JSONRenderer(serializer=_encode)],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    # The libraries' own: at debug level some of them show what travels, so never below info.
    logging.basicConfig(
        level=max(_level, logging.INFO), handlers=[_Foreign(logging.INFO)], force=True
    )
    logging.captureWarnings(True)


def shows_requests() -> bool:
    """Tell whether a line for each request is wanted."""
    return _level <= logging.INFO


def write(line: msgspec.Struct) -> None:
    """Write a line as it is, in one call with all others of this turn of the event loop.

    For what every request pays, structlog's way is too long, and a system call too much.
    """
    _gathered.append(_encoder.encode(line))
    asyncio.get_running_loop().call_soon(_write_gathered)  # the first call writes all of them


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


def _encode(event: Any, **_: Any) -> bytes:
    return _encoder.encode(event)


class _Lines:
    """The logger to which structlog hands its lines."""

    def __init__(self, *_: Any) -> None:
        pass

    def msg(self, line: bytes) -> None:
        _write(line)

    debug = info = warning = error = critical = msg


class _Foreign(logging.Handler):
    """A handler that writes records of the standard library's logging in the same form."""

    _formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(
                serializer=lambda event, **_: _encoder.encode(event).decode()
            ),
        ],
    )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(self._formatter.format(record).encode())
        except Exception:  # as logging's own handlers do: a bad message must not stop the program
            self.handleError(record)
