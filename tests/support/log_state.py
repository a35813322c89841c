"""Logging is the process' own: what a test sets up must be gone after it."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import capture_logs

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


@contextmanager
def captured() -> Iterator[list[Any]]:
    """What is logged meanwhile, also where an app in this process has configured logging.

    That stays, with the level that it wants; and loggers keep what was configured when they were
    first used.
    """
    before = structlog.get_config()
    structlog.reset_defaults()
    for name, module in list(sys.modules.items()):
        log = vars(module).get("log") if name.startswith("service.") else None
        if isinstance(log, structlog._config.BoundLoggerLazyProxy):
            vars(log).pop("bind", None)
    try:
        with capture_logs() as lines:
            yield lines
    finally:
        structlog.configure(**before)
