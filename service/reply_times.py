"""Counts how long Redis takes to reply, in plain numbers: it is done for each reply."""

from bisect import bisect_left

BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds. A reply counts under the first that it is within, else as one above all."""


class ReplyTimes:
    """Counts of replies by their time, and the sum of the times in seconds."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count a reply."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


REPLY_TIMES = ReplyTimes()
"""Of this process, over all of its connections."""
