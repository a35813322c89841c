"""A stream of events, as far as a process that brings events to a sink knows about it."""

import asyncio
import random
import time

from service.sinks.sink import Retries
from service.sinks.state import LEASE, Progress
from service.sinks.tails import Tails

SIGN_EVERY = 60.0
"""Seconds between two signatures in a stream."""

_SAFE = LEASE / 1000 * 2 / 3
"""Seconds after which a lease is prolonged, and within which something may be begun by it."""


class Stream:
    """Whether this process has its lease, and what there is to do."""

    def __init__(self, bucket: int) -> None:
        self.bucket = bucket
        self.progress: Progress | None = None
        """`None`: another process has the lease, or it is not known."""
        self.held_at = 0.0
        self.ask_at = 0.0
        self.failures = 0
        self.not_before = 0.0
        self.signed_at = -SIGN_EVERY
        self.waiting_since: int | None = None
        """When the first event that has not arrived happened, ms; `None`: all have."""
        self.task: asyncio.Task[None] | None = None

    def left(self) -> float:
        """Tell how many seconds something may still be begun by the lease."""
        return self.held_at + _SAFE - time.monotonic() if self.progress else 0.0

    def is_busy(self) -> bool:
        """Tell whether events of it are being brought on."""
        if self.task is not None and self.task.done():
            self.task = None
        return self.task is not None

    def lose(self, ask_at: float) -> None:
        """Leave it to another process, and ask for it no sooner than this."""
        self.progress = None
        self.waiting_since = None
        self.ask_at = ask_at

    def rests(self, tails: Tails) -> bool:
        """Tell whether it is ours, and `tails` know of nothing to do."""
        if self.progress is None or self.task is not None or self.left() <= 0:
            return False
        if tails.has_news(self.bucket, self.progress.cursor):
            return False
        self.waiting_since = None
        return True

    def put_off(self, retries: Retries) -> None:
        """Begin nothing for a while, which is longer after each failure."""
        wait = min(retries.first * 2 ** min(self.failures, 30), retries.longest).total_seconds()
        self.failures += 1
        self.not_before = time.monotonic() + wait * random.uniform(1, 1.5)  # noqa: S311  no secret
