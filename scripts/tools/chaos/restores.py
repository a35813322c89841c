"""What a user store that was put back to an earlier copy may have lost, and what it must have.

What was written before the copy is there afterwards, and what is written after the restore. What
was written between is gone: accounts and second factors of then, and that recovery codes were used.
Sessions, spent steps and challenges lie in Redis: nothing that was over comes back.
"""

from collections import defaultdict
from collections.abc import Iterable

from tools.chaos.history import Fault, History, Operation

KIND = "restore the user store"

BOUND = 6.0
"""Seconds after which no pod goes by a row from before: three, and what a busy machine takes."""

_STORE_AWAY = ("freeze PostgreSQL", "restart PostgreSQL")
"""Faults meanwhile, and for a while after, rows in memory are good as they are."""


class Restores:
    """The restores of a history."""

    def __init__(self, history: History) -> None:
        self._all = [fault for fault in history.faults if fault.kind == KIND]
        self._away = [fault for fault in history.faults if fault.kind in _STORE_AWAY]
        self._accounts: dict[str, list[Operation]] = defaultdict(list)
        for each in history.operations:
            if each.kind in ("signup", "login", "password_change") and each.outcome == "ok":
                self._accounts[each.person].append(each)

    def may_have_lost(self, written: Operation, by: Operation) -> bool:
        """Whether what `written` has stored may be gone when `by` is answered."""
        return any(
            fault.started < written.ended and written.started < fault.ended
            for fault in self._before(by)
        )

    def may_have_lost_account(self, by: Operation) -> bool:
        """Whether the account may be gone when `by` is answered: it need not have been there when
        a copy was taken, and was not seen since that was restored."""
        return self.may_have_forgotten(self._accounts[by.person], by)

    def may_have_forgotten(self, seen: Iterable[Operation], by: Operation) -> bool:
        """Whether what these have `seen` in the store may be gone when `by` is answered: it need
        not have been there when a copy was taken, and was not seen since that was restored."""
        seen = tuple(seen)
        return any(
            not any(s.ended <= fault.started or s.started >= fault.ended for s in seen)
            for fault in self._before(by)
        )

    def came_between(self, first: Operation, by: Operation) -> bool:
        """Whether the store may have gone back since `first` began, before `by` was answered."""
        return any(fault.ended > first.started for fault in self._before(by))

    def have_long_lost(self, written: Operation, by: Operation) -> bool:
        """Whether what `written` has stored was surely gone, and known to be, when `by` began."""
        if any(f.started < by.ended and f.ended > by.started - BOUND for f in self._away):
            return False
        return any(
            written.outcome == "ok"  # else it may have had its effect later
            and fault.since <= written.started
            and written.ended <= fault.until
            and fault.ended + BOUND <= by.started
            for fault in self._all
        )

    def _before(self, by: Operation) -> Iterable[Fault]:
        return (fault for fault in self._all if fault.started < by.ended)
