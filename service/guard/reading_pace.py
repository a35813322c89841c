"""How long a guard rests between two reads of entries.

Each read costs Redis some microseconds for each guard, and 50 where it waits by naming all streams
of a server. So a guard that has just read some entries waits a moment before it reads on: Redis
serves whom the entry is for first, and entries that come close to each other are read together.
Where they come all the time it rests for longer: with 100 guards and 500 ends of sessions a second
Redis would do nothing else. How long at the most, the service's wishes tell, which know how many
guards there are (`wishes.py`). Who is asked about an entry that was not read yet rests no longer.
"""

from .feed_connection import FeedConnection

SHORTEST, _LONGEST = 0.002, 0.02
_OF_PAUSE = 2.0
"""How much longer than between two reports a guard may rest."""


class ReadingPace:
    """The rests of one reader."""

    def __init__(self) -> None:
        self._rest = self._longest = SHORTEST
        self.wire: FeedConnection | None = None
        """What is read over."""

    def told(self, pause: float) -> None:
        """Take from a wish how many seconds guards are to leave between two reports."""
        self._longest = min(max(SHORTEST, _OF_PAUSE * pause), _LONGEST)

    def rest_after(self, waited: float) -> float:
        """Return for how long to rest now, where the entries had to be waited for so long."""
        longer = self._rest * 2 if waited < self._rest else SHORTEST
        self._rest = min(longer, self._longest)
        return self._rest

    def end_rest(self) -> None:
        """Read on at once."""
        self._rest = SHORTEST
        if self.wire is not None:
            self.wire.send_now()
