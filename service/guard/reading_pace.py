"""How long a guard rests between two reads of entries.

To wait for an entry names all streams of a server, which costs Redis 50 µs for each guard, whatever
comes. So a guard that has just read some waits a moment before it waits for the next: Redis serves
whom the entry is for first, and entries that come close to each other are read together. Where they
come all the time it rests for longer: with 100 guards and 500 ends of sessions a second Redis would
do nothing else. How long at the most, the service's wishes tell, which know how many guards there
are (`wishes.py`). Who is asked about an entry that was not read yet rests no longer.
"""

from .connection import Connection

_SHORTEST, _LONGEST = 0.002, 0.02
_OF_PAUSE = 2.0
"""How much longer than between two reports a guard may rest."""


class ReadingPace:
    """The rests of one reader."""

    def __init__(self) -> None:
        self._rest = self._longest = _SHORTEST
        self.wire: Connection | None = None
        """What is read over."""

    def told(self, pause: float) -> None:
        """Take from a wish how many seconds guards are to leave between two reports."""
        self._longest = min(max(_SHORTEST, _OF_PAUSE * pause), _LONGEST)

    def rest_after(self, waited: float) -> float:
        """Return for how long to rest now, where the entries had to be waited for so long."""
        longer = self._rest * 2 if waited < self._rest else _SHORTEST
        self._rest = min(longer, self._longest)
        return self._rest

    def end_rest(self) -> None:
        """Read on at once."""
        self._rest = _SHORTEST
        if self.wire is not None:
            self.wire.send_now()
