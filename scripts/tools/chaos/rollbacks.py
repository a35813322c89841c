"""What a Redis that went back in time may have lost, and what it must have all the same.

What was written before a copy is there afterwards, and what is written once the service is ready
again. Between the two, sessions and challenges that were opened are gone, and rotations undone: the
session ends at its next refresh. Nothing that was over comes back, on no pod and at no guard.

Where the journal in the user store had not got all of a bucket yet, the service cuts off everybody
in it, and says so. That alone may log out somebody else.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # --help reads the names below before anything is installed
    from tools.chaos.history import Fault, History, Operation

RESTORE, RESTORE_SOME = "restore Redis", "restore some buckets"
FLUSH, FLUSH_SOME, EMPTY = "flush Redis", "flush some buckets", "empty the volumes"
EMPTYING = (FLUSH, FLUSH_SOME, EMPTY)
KINDS = (RESTORE, RESTORE_SOME, *EMPTYING)
SOME = (RESTORE_SOME, FLUSH_SOME)

_LOGGED = 2.0
"""Seconds between what a pod does and what it says of it, at the most."""


class Rollbacks:
    """The rollbacks of a history."""

    def __init__(self, history: "History") -> None:
        self._all = [fault for fault in history.faults if fault.kind in KINDS]
        self._redone = history.redone

    def may_have_undone(self, written: "Operation", by: "Operation") -> bool:
        """Whether what `written` has stored in Redis may be gone when `by` is answered."""
        return any(
            written.started < fault.ended
            and (fault.kind in EMPTYING or fault.started < written.ended)
            for fault in self._before(by)
        )

    def came_during(self, ending: "Operation", by: "Operation") -> bool:
        """Whether Redis may have gone back before a command of operators had told the fence what it
        has ended: no pod has answered for that."""
        return any(
            ending.started < fault.ended and ending.ended > fault.until
            for fault in self._before(by)
        )

    def may_have_cut_off(self, opened: "Operation", by: "Operation") -> bool:
        """Whether the bucket of a session that was `opened` was cut off when `by` was answered."""
        return any(
            each.cut_off
            and each.bucket == opened.bucket
            and opened.started < each.started + _LOGGED
            and each.started - _LOGGED < by.ended
            for each in self._redone
        )

    def _before(self, by: "Operation") -> "Iterable[Fault]":
        return (fault for fault in self._all if fault.started < by.ended)
