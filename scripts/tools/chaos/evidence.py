"""A history, sorted by what it tells about each session: who asked, what ended it, what it proves.

What an `unknown` operation permits is decided here. It may have had its effect at any moment from
when it was sent, or never: a request may lie in the buffer of a stopped process, and take effect
when that goes on, long after its client has given up and asked elsewhere.
"""

from collections.abc import Iterator, Sequence

import msgspec

from tools.chaos import sweeps
from tools.chaos.history import OPERATORS, Fault, Operation
from tools.chaos.restores import Restores
from tools.chaos.rollbacks import Rollbacks

_LINGER = 2.5
"""Seconds after the faults of its time for which a request without an answer may be at work."""

_CLOCKS = 0.05
"""Seconds by which Redis' clock, in whole milliseconds, and ours may disagree on a grace."""

_READS = (
    "me", "list", "enable", "verify", "reauthenticate", "password_change", "account_delete",
)  # fmt: skip
"""Calls that look at the caller's session by a read, which waits for no replica."""

ROTATIONS = ("refresh", "reauthenticate")
"""Calls that exchange a refresh token."""

ABOUT = (*ROTATIONS, "logout", "revoke")
"""Calls about one session, which may be another than the caller's."""

_GONE = {
    "reauthenticate": "invalid_refresh_token",
    "logout": "session_not_found",
    "revoke": "session_not_found",
    "refresh": "invalid_refresh_token",
}
"""The code by which a call says that the session it is about lives no more."""


class Terms(msgspec.Struct, frozen=True):
    """What the service was set to."""

    grace: float
    """Seconds."""
    reads_are_final: bool
    """Whether nothing that was read can be undone: with one server that syncs each write, but not
    with replicas, where a read may show what no replica has acknowledged yet."""

    guard_bound: float = 6.0
    """Seconds after which a guard has heard of what has ended."""

    access_life: int = 86_400
    """Seconds that an access token is good for at most."""


class Violation(msgspec.Struct, frozen=True):
    """A rule that was broken, and the operations that show it."""

    rule: str
    says: str
    person: str
    operations: tuple[int, ...]


def violation(rule: str, says: str, *operations: Operation) -> Violation:
    """Make one, of `operations` in the order in which they matter. There is no other way."""
    numbers = tuple(operation.number for operation in operations)
    return Violation(rule, says, operations[-1].person, numbers)


class SessionEvidence:
    """All operations that say something about one session."""

    def __init__(
        self,
        opened: Operation,
        password: str,
        terms: Terms,
        faults: Sequence[Fault],
        restores: Restores,
        rollbacks: Rollbacks,
    ) -> None:
        """Gather nothing yet. `password` is the one by which it was opened."""
        self.opened = opened
        self.password = password
        self.id = opened.session
        self.asked: list[Operation] = []
        """With its access token."""
        self.about: list[Operation] = []
        """That would refresh or end it."""
        self.swept: list[Operation] = []
        """What ends all sessions of its owner, but for few."""
        self.enabled: list[Operation] = []
        """That let its owner log in again."""
        self.proving: list[Operation] = []
        """That were let in by a password of after it was opened: so it has ended."""
        self.generation = {opened.received: 0}
        """Of each refresh token that somebody has received."""
        self._terms = terms
        self._faults = faults
        self._restores = restores
        self._rollbacks = rollbacks

    def refreshes(self) -> Iterator[Operation]:
        return (each for each in self.about if each.kind in ROTATIONS)

    def may_have_ended(self, by: Operation) -> bool:
        """Whether anything may have ended it by the end of `by`: the loss of its account, too, or
        that a restore has disabled it again."""
        if self._restores.may_have_lost_account(by):
            return True
        if any(self._restores.may_have_lost(each, by) for each in self.enabled):
            return True
        if self._rollbacks.may_have_cut_off(self.opened, by) or self.may_be_of_before(by):
            return True
        return any(
            each.started < by.ended and self._may_end(each) for each in (*self.about, *self.swept)
        )

    def says_ended(self, operation: Operation) -> bool:
        """Whether the answer says that the session is over, through this very call or before."""
        is_ok = operation.outcome == "ok"
        if is_ok and sweeps.is_sweep(operation):
            return sweeps.has_ended(operation, self.opened, self.password, self._enabling)
        if operation in self.proving:
            return True
        if operation.session == self.id:
            if is_ok and operation.kind in ("logout", "revoke"):
                return True
            if operation.code == _GONE.get(operation.kind) or is_reuse(operation):
                return True
        return self._turned_away(operation)

    def is_final(self, operation: Operation) -> bool:
        """Whether what says that the session is over had to be as durable as configured.

        Who is turned away for want of an account may have been let in by a pod that has not
        noticed yet: the session ends at its next refresh.
        """
        if operation.outcome == "ok":
            return True
        if self._turned_away(operation) and self._restores.may_have_lost_account(operation):
            return False
        return operation.kind not in _READS or self._terms.reads_are_final

    def accepted(self, operation: Operation) -> bool:
        """Whether the answer proves that the session lived at some moment of the call."""
        if operation.kind == "guard":
            return operation.outcome == "ok"
        is_about = operation.session == self.id and operation.kind in ABOUT
        if is_about and operation.outcome == "ok":
            return True
        return (
            operation.caller == self.id
            and operation.kind != "logout"  # does not look at the caller's session
            and operation.outcome in ("ok", "refused")
            and not self._turned_away(operation)
            and not (operation.kind == "reauthenticate" and self.says_ended(operation))
        )

    def justifies_reuse(self, judged: Operation) -> bool:
        """Whether `judged` may have presented a token that was spent, with its grace over."""
        if self.may_be_of_before(judged):
            return True
        until = self._over(judged)
        generation = self.generation[judged.presented]
        for each in self.refreshes():
            if each is judged or each.started >= until or each.outcome == "unsent":
                continue
            if self.generation[each.presented] > generation:
                return True
            rotated_then = each.presented == judged.presented and each.outcome in ("ok", "unknown")
            if rotated_then and each.started + self._terms.grace < until + _CLOCKS:
                return True
        return False

    def may_be_of_before(self, by: Operation) -> bool:
        """Whether Redis may have gone back to before the session was opened, or one of its tokens
        spent: then it is gone, or ends when a token is presented that Redis does not know."""
        written = (each for each in (self.opened, *self.refreshes()) if may_have_worked(each))
        return any(self._rollbacks.may_have_undone(each, by) for each in written)

    def is_undone(self, rotation: Operation, by: Operation) -> bool:
        """Whether Redis may have gone back to before this rotation, before `by` was answered."""
        return self._rollbacks.may_have_undone(rotation, by)

    def must_know(self, ending: Operation, by: Operation) -> bool:
        """Whether whoever is asked in `by` must know of what `ending` has said: guards only of what
        was told to them, and a while later."""
        if by.kind != "guard":
            return ending.ended <= by.started
        if not self._has_ended_it(ending) and self.may_be_of_before(ending):
            return False  # it was lost, and nobody has ended it
        return ending not in self.proving and ending.ended + self._terms.guard_bound <= by.started

    def may_be_undone(self, ending: Operation, by: Operation) -> bool:
        """Whether the end that `ending` proves may be undone by `by`: that the user store has
        another password ends its sessions, and a restore may come before they are met."""
        if ending.pod == OPERATORS and self._rollbacks.came_during(ending, by):
            return True
        return ending in self.proving and self._restores.came_between(self.opened, by)

    def grace_was_over(self, first: Operation, again: Operation) -> bool:
        """Whether a token spent in `first` was presented again when its grace had surely passed."""
        return again.started > first.ended + self._terms.grace + _CLOCKS

    def _may_end(self, operation: Operation) -> bool:
        if operation.kind in ROTATIONS:
            if operation.outcome == "unknown":
                return self.justifies_reuse(operation)
            return is_reuse(operation)
        if not may_have_worked(operation):
            return False
        if not sweeps.is_sweep(operation):
            return True
        if self._over(operation) <= self.opened.started:
            return False
        return not sweeps.spares(operation, self.opened, self.password)

    def _has_ended_it(self, operation: Operation) -> bool:
        """Whether it may be this very call that has ended the session, and has told the feed."""
        if sweeps.is_sweep(operation):
            return not self.may_be_of_before(operation)  # it has ended what was there
        return operation.outcome == "ok" or is_reuse(operation)

    def _enabling(self, sweep: Operation) -> bool:
        """Whether the account may have been enabled while it was disabled."""
        return any(
            each.started < sweep.ended and self._over(each) > sweep.started for each in self.enabled
        )

    def _turned_away(self, operation: Operation) -> bool:
        if operation.kind == "guard":
            return False  # it may have heard of what is undone later
        return operation.caller == self.id and operation.code == "unauthorized"

    def _over(self, operation: Operation) -> float:
        return over(operation, self._faults)


def over(operation: Operation, faults: Sequence[Fault]) -> float:
    """Find from when on an operation can have no effect any more."""
    if operation.outcome != "unknown":
        return operation.ended
    overlapping = (
        fault.ended
        for fault in faults
        if fault.started < operation.ended and fault.ended > operation.started
    )
    return max(operation.ended, *overlapping, 0.0) + _LINGER


def may_have_worked(operation: Operation) -> bool:
    """Whether it has had its effect, or may have had it.

    A change of a password that is told that its session is over may have ended that itself: the row
    is written, and something else has kept the new session from being opened.
    """
    if operation.kind == "password_change" and operation.code == "unauthorized":
        return True
    return operation.outcome in ("ok", "unknown")


def is_reuse(operation: Operation) -> bool:
    """Whether the answer was that the token had been used before."""
    return operation.code == "refresh_token_reused"
