"""Logging is the process' own: what a test sets up must be gone after it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from service import logs


@contextmanager
def configured(level: str) -> Iterator[None]:
    """Logging as the service sets it up, for a while."""
    root = logging.getLogger()
    handlers, before = root.handlers[:], root.level
    root.handlers.clear()  # `configure` closes those that it finds
    logging.captureWarnings(False)
    try:
        logs.configure(level)
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(before)
        logging.captureWarnings(False)
        structlog.reset_defaults()
