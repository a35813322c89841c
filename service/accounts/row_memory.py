"""Rows of users that a process keeps in memory, and until when each is good.

A row is good for one version, of which Redis tells whether it is current. That is not enough where
a store has lost what it had: the user store was restored, or Redis was. So a row is good

- for two seconds since the user store gave or confirmed it,
- longer while the user store is seen, each second, to be the one that it was, and the process has
  opened no connection to Redis since: then it is confirmed within a second of its use, by a
  statement for many, and forgotten if it is not what the user store has,
- as it is while the user store is away, whatever is doubted: there is nobody to ask, and
  connections to Redis break for many reasons. Where it has lost the end of a session, nobody is
  served from it anyway (`service/rollback`).

Nothing is good, or kept, for more than an hour or two after it was last confirmed.
"""

from collections import OrderedDict
from time import monotonic

from service.accounts.packed_rows import PackedRows
from service.accounts.user_rows import User

_LATEST = 10_000
"""Rows that are kept ready to be shown, about 1 kB each; the others are packed."""

_GOOD_FOR = 2.0
"""Seconds that a row is good for by itself, and that a look at the user store is."""

_SETTLED_FOR = 0.5
"""A row that was confirmed so many seconds ago need not be confirmed again."""

_KEPT_FOR = 3600.0
"""Seconds that a row is kept for since it was confirmed."""


class _Row:
    """A row, and when the user store last gave or confirmed it."""

    __slots__ = ("confirmed_at", "user")

    def __init__(self, user: User, confirmed_at: float) -> None:
        self.user = user
        self.confirmed_at = confirmed_at


class RowMemory:
    """Keeps rows of users. Times are those of `time.monotonic`."""

    def __init__(self) -> None:
        self._latest: OrderedDict[bytes, _Row] = OrderedDict()  # the latest used last
        self._others = PackedRows()
        self._used: set[bytes] = set()
        self._doubted_at = 0.0
        self._store_seen_at = 0.0
        self.is_away = False
        """Whether the user store is away."""
        self.was_asked = False
        """Whether anybody has asked for a row since the user store was last looked at."""

    def find(self, user_id: bytes, version: int) -> User | None:
        """Return this version of a row, if it is good."""
        self.was_asked = True
        row = self._latest.get(user_id)
        if row is None:
            row = self._unpack(user_id, version)
            if row is None:
                return None
        elif row.user.version != version:
            return None
        else:
            self._latest.move_to_end(user_id)
        if self.is_away:
            return row.user
        now = monotonic()
        age = now - row.confirmed_at
        if age >= _GOOD_FOR and (now - self._store_seen_at >= _GOOD_FOR or age >= _KEPT_FOR):
            return None
        if row.confirmed_at <= self._doubted_at:
            return None
        if age > _SETTLED_FOR:
            self._used.add(user_id)
        return row.user

    def keep(self, user: User, read_at: float) -> None:
        """Keep a row that was asked for at that time."""
        self._keep(_Row(user, read_at))

    def forget(self, user_id: bytes) -> None:
        """Forget a row."""
        self._latest.pop(user_id, None)
        self._others.drop(user_id)

    def doubt(self) -> None:
        """Have every row confirmed before it is good again: a store may have lost something."""
        self._doubted_at = monotonic()

    def see_store(self, at: float) -> None:
        """Note that the user store was at that time the one that it was before."""
        self._store_seen_at, self.was_asked = at, False

    def take_used(self) -> list[bytes]:
        """Return whose rows were used, and not confirmed, since the last time."""
        used, self._used = self._used, set()
        return list(used)

    def confirm(self, user_id: bytes, version: int | None, at: float) -> None:
        """Note which version the user store had at that time; forget the row if it is another."""
        self._others.confirm(user_id, version, at)
        row = self._latest.get(user_id)
        if row is None or row.confirmed_at > at:
            return
        if row.user.version == version:
            row.confirmed_at = at
        else:
            del self._latest[user_id]

    def sweep(self) -> None:
        """Forget some of what was not confirmed for long; called each second, all in an hour."""
        before = monotonic() - _KEPT_FOR
        self._others.sweep(int(_KEPT_FOR), before)
        while self._latest:
            user_id = next(iter(self._latest))
            if self._latest[user_id].confirmed_at >= before:
                break
            del self._latest[user_id]

    def _unpack(self, user_id: bytes, version: int) -> _Row | None:
        found = self._others.find(user_id, version)
        if found is None:
            return None
        row = _Row(*found)
        self._keep(row)
        return row

    def _keep(self, row: _Row) -> None:
        self._latest[row.user.id] = row
        self._latest.move_to_end(row.user.id)
        if len(self._latest) > _LATEST:
            _, oldest = self._latest.popitem(last=False)
            self._others.put(oldest.user, oldest.confirmed_at)
