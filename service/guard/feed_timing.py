"""The times of reading a feed: how often it is looked at, and how long is waited."""

import msgspec


class FeedTiming(msgspec.Struct, frozen=True):
    """The intervals and timeouts of a reader, in seconds."""

    bound: float
    """Age of what is known, past which the feed counts as lost."""
    life: float
    """For how long an entry matters."""

    @property
    def check_interval(self) -> float:
        """Seconds from one confirmation that all is known to the next."""
        return self.bound / 4

    @property
    def timeout(self) -> float:
        """Seconds to wait for a connection, and for a reply."""
        return min(max(self.bound / 2, 0.2), 2.0)
