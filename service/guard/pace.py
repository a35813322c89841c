"""How often a feed is looked at."""

import msgspec


class Pace(msgspec.Struct, frozen=True):
    """How often a reader looks and how long it waits, in seconds."""

    bound: float
    """Age of what is known, past which the feed counts as lost."""
    life: float
    """For how long an entry matters."""

    @property
    def pulse(self) -> float:
        """From one proof that all is known to the next."""
        return self.bound / 4

    @property
    def patience(self) -> float:
        """For a connection, and for a reply."""
        return min(max(self.bound / 2, 0.2), 2.0)
