"""Logging is the process' own: what a test sets up must be gone after it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from service import logs


@contextmanager
def configured(level: str, form: logs.Format | None = None) -> Iterator[None]:
    """Logging as the service sets it up, for a while."""
    root = logging.getLogger()
    handlers, before = root.handlers[:], root.level
    root.handlers.clear()  # `configure` closes those that it finds
    before_bytes = logs._as_bytes
    logging.captureWarnings(False)
    try:
        logs.configure(level, form)
        yield
    finally:
        logs._as_bytes = before_bytes
        root.handlers[:] = handlers
        root.setLevel(before)
        logging.captureWarnings(False)
        structlog.reset_defaults()
