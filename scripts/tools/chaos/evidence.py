"""A history, sorted by what it tells about each session: who asked, what ended it, what it proves.

What an `unknown` operation permits is decided here. It may have had its effect at any moment from
when it was sent, or never: a request may lie in the buffer of a stopped process, and take effect
when that goes on, long after its client has given up and asked elsewhere.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from tools.chaos.history import Fault, History, Operation
from tools.chaos.restores import Restores

_LINGER = 2.5
"""Seconds after the faults of its time for which a request without an answer may be at work."""

_CLOCKS = 0.05
"""Seconds by which Redis' clock, in whole milliseconds, and ours may disagree on a grace."""

_READS = ("me", "list", "enable", "verify")
"""Calls that look at the caller's session by a read, which waits for no replica."""

_ABOUT = ("refresh", "logout", "revoke")
"""Calls about one session, which may be another than the caller's."""

_GONE = {
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
        self, opened: Operation, terms: Terms, faults: Sequence[Fault], restores: Restores
    ) -> None:
        self.opened = opened
        self.id = opened.session
        self.asked: list[Operation] = []
        """With its access token."""
        self.about: list[Operation] = []
        """That would refresh or end it."""
        self.swept: list[Operation] = []
        """`logout_all` of its owner."""
        self.generation = {opened.received: 0}
        """Of each refresh token that somebody has received."""
        self._terms = terms
        self._faults = faults
        self._restores = restores

    def refreshes(self) -> Iterator[Operation]:
        return (each for each in self.about if each.kind == "refresh")

    def may_have_ended(self, by: Operation) -> bool:
        """Whether anything may have ended it by the end of `by`; the loss of its account, too."""
        return self._restores.may_have_lost_account(by) or any(
            each.started < by.ended and self._may_end(each) for each in (*self.about, *self.swept)
        )

    def says_ended(self, operation: Operation) -> bool:
        """Whether the answer says that the session is over, through this very call or before."""
        is_ok = operation.outcome == "ok"
        if operation.kind == "logout_all" and is_ok:
            return self._was_swept(operation)
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
        if self._turned_away(operation) and self._restores.may_have_lost_account(operation):
            return False
        return operation.kind not in _READS or self._terms.reads_are_final

    def accepted(self, operation: Operation) -> bool:
        """Whether the answer proves that the session lived at some moment of the call."""
        is_about = operation.session == self.id and operation.kind in _ABOUT
        if is_about and operation.outcome == "ok":
            return True
        return (
            operation.caller == self.id
            and operation.kind != "logout"  # does not look at the caller's session
            and operation.outcome in ("ok", "refused")
            and not self._turned_away(operation)
        )

    def justifies_reuse(self, judged: Operation) -> bool:
        """Whether `judged` may have presented a token that was spent, with its grace over."""
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

    def grace_was_over(self, first: Operation, again: Operation) -> bool:
        """Whether a token spent in `first` was presented again when its grace had surely passed."""
        return again.started > first.ended + self._terms.grace + _CLOCKS

    def _may_end(self, operation: Operation) -> bool:
        if operation.kind == "refresh":
            if operation.outcome == "unknown":
                return self.justifies_reuse(operation)
            return is_reuse(operation)
        if operation.outcome not in ("ok", "unknown"):
            return False
        if operation.kind == "logout_all" and self._over(operation) <= self.opened.started:
            return False
        return not self._is_spared(operation)

    def _was_swept(self, operation: Operation) -> bool:
        return self.opened.ended <= operation.started and not self._is_spared(operation)

    def _is_spared(self, operation: Operation) -> bool:
        return operation.kind == "logout_all" and operation.keeps and operation.caller == self.id

    def _turned_away(self, operation: Operation) -> bool:
        return operation.caller == self.id and operation.code == "unauthorized"

    def _over(self, operation: Operation) -> float:
        """Find from when on an operation can have no effect any more."""
        if operation.outcome != "unknown":
            return operation.ended
        overlapping = (
            fault.ended
            for fault in self._faults
            if fault.started < operation.ended and fault.ended > operation.started
        )
        return max(operation.ended, *overlapping, 0.0) + _LINGER


def is_reuse(operation: Operation) -> bool:
    """Whether the answer was that the token had been used before."""
    return operation.code == "refresh_token_reused"


def sessions_of(history: History, terms: Terms, restores: Restores) -> list[SessionEvidence]:
    """Gather the evidence on every session whose opening was answered."""
    found: dict[str, SessionEvidence] = {}
    of_person: dict[str, list[SessionEvidence]] = defaultdict(list)
    for each in history.operations:
        if each.kind in ("signup", "login", "answer") and each.session:
            session = SessionEvidence(each, terms, history.faults, restores)
            found[each.session] = session
            of_person[each.person].append(session)
    for each in history.operations:
        if each.caller in found:
            found[each.caller].asked.append(each)
        if each.kind in _ABOUT and each.session in found:
            found[each.session].about.append(each)
        if each.kind == "refresh" and each.received and each.session in found:
            generations = found[each.session].generation
            generations.setdefault(each.received, generations[each.presented] + 1)
        if each.kind == "logout_all":
            for session in of_person[each.person]:
                session.swept.append(each)
    return list(found.values())
