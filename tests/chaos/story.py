"""Histories written by hand, one line an operation."""

from itertools import count
from typing import Any

from tools.chaos.checker import check
from tools.chaos.evidence import Terms
from tools.chaos.history import Fault, History, Operation, Redone
from tools.chaos.restores import KIND as RESTORED
from tools.chaos.rollbacks import RESTORE

GRACE = 3.0
ACCESS_LIFE = 900


class Story:
    """Somebody signs up from 0.0 to 0.1: session `s`, refresh token `t0`. Then what is told."""

    def __init__(self, *, reads_are_final: bool = True) -> None:
        self.history = History([], [])
        self._numbers = count()
        self._terms = Terms(GRACE, reads_are_final, access_life=ACCESS_LIFE)
        self.ok("signup", 0.0, session="s", received="t0")

    def ok(self, kind: Any, at: float, lasts: float = 0.1, **facts: Any) -> "Story":
        """It was answered as asked for."""
        return self._add(kind, at, lasts, outcome="ok", **facts)

    def refused(self, kind: Any, at: float, code: str, lasts: float = 0.1, **f: Any) -> "Story":
        """It was answered with this error."""
        return self._add(kind, at, lasts, outcome="refused", code=code, **f)

    def unknown(self, kind: Any, at: float, lasts: float = 0.1, **facts: Any) -> "Story":
        """It was answered 503, or not at all."""
        return self._add(kind, at, lasts, outcome="unknown", **facts)

    def unsent(self, kind: Any, at: float, lasts: float = 0.1, **facts: Any) -> "Story":
        """There was nobody to send it to."""
        return self._add(kind, at, lasts, outcome="unsent", **facts)

    def fault(
        self, at: float, until: float, kind: str = "freeze a pod", ahead: float = 0.0
    ) -> "Story":
        """It begins at `at`, is in effect within 0.1 s, and is undone in the last 0.1 s."""
        fault = Fault(
            kind=kind,
            target="pod 0",
            started=at,
            ended=until,
            since=at + 0.1,
            until=until - 0.1,
            ahead=ahead,
        )
        self.history.faults.append(fault)
        return self

    def restored(self, at: float, until: float) -> "Story":
        """The user store is copied at `at`, and put back to that at `until`."""
        return self.fault(at, until, RESTORED)

    def back(self, at: float, until: float, kind: str = RESTORE) -> "Story":
        """Redis is copied at `at`, and goes back to that; the pods are ready again at `until`."""
        return self.fault(at, until, kind)

    def redone(self, at: float, bucket: int, *, cut_off: bool) -> "Story":
        """A pod says that it has mended this bucket, and whether it had to cut off everybody."""
        self.history.redone.append(Redone(bucket=bucket, started=at, replayed=1, cut_off=cut_off))
        return self

    def rules_broken(self) -> set[str]:
        """The rules that the checker finds broken."""
        self.history.operations.sort(key=lambda each: each.ended)
        return {violation.rule for violation in check(self.history, self._terms)}

    def _add(self, kind: Any, at: float, lasts: float, **facts: Any) -> "Story":
        if kind in ("refresh", "logout", "revoke", "reauthenticate"):
            facts.setdefault("session", "s")
        facts = {"person": "ada", "pod": 0, **facts}
        operation = Operation(
            number=next(self._numbers), kind=kind, started=at, ended=at + lasts, **facts
        )
        self.history.operations.append(operation)
        return self
