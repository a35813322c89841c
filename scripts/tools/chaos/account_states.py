"""The rules of passwords, and of accounts that are disabled, enabled and deleted."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tools.chaos.evidence import Violation, may_have_worked, over, violation
from tools.chaos.history import History, Operation
from tools.chaos.restores import Restores
from tools.chaos.sweeps import DELETIONS, passwords_of

_WRONG = ("invalid_credentials", "invalid_password")


def check(history: History, restores: Restores) -> Iterator[Violation]:
    """Find all that went wrong with the states of accounts."""
    people: dict[str, list[Operation]] = defaultdict(list)
    for each in history.operations:
        people[each.person].append(each)
    for person, operations in people.items():
        if person:
            yield from _Account(operations, history, restores).check()


class _Account:
    """What was done with one account."""

    def __init__(
        self, operations: Sequence[Operation], history: History, restores: Restores
    ) -> None:
        self._all = operations
        self._faults = history.faults
        self._restores = restores
        self._passwords = passwords_of(History([*operations]))
        worked = [each for each in operations if may_have_worked(each)]
        self._changes = [each for each in worked if each.kind == "password_change"]
        self._disabled = [each for each in worked if each.kind == "users_disable"]
        self._enabled = [each for each in worked if each.kind == "users_enable"]
        self._deleted = [each for each in worked if each.kind in DELETIONS]
        self._signups = [each for each in worked if each.kind == "signup"]

    def check(self) -> Iterator[Violation]:
        for each in self._all:
            if each.code in _WRONG:
                yield from self._password_lost(each)
            elif each.code == "account_disabled":
                yield from self._disabled_by_itself(each)
            if self._goes_by_password(each):
                yield from self._old_password(each)
            if each.outcome == "ok" and each.kind in ("login", "answer"):
                yield from self._let_in(each)

    def _password_lost(self, each: Operation) -> Iterator[Violation]:
        """Check that the password of an acknowledged account is right until it is changed, or the
        account is deleted or lost."""
        known = [
            seen
            for seen in self._all
            if seen.ended <= each.started
            and (seen.outcome == "ok" or seen.code == "account_disabled")
            and seen.kind in ("signup", "login", "password_change")
            and (seen.new_password or seen.password) == each.password
        ]
        changed = [o for o in self._changes if o.password == each.password]
        if not known or _any_before([*changed, *self._deleted], each):
            return
        if not self._restores.may_have_forgotten(known, each):
            yield violation("an account was lost", "its password is wrong", known[0], each)

    def _old_password(self, each: Operation) -> Iterator[Violation]:
        """Check that a password opens nothing any more once another was answered for, or used."""
        password = self._passwords[each.number] if each.kind == "answer" else each.password
        for change in self._changes:
            if change.password != password:
                continue
            known = self._known_at(change)
            if known is None or known.ended > each.started:
                continue
            if change.outcome == "ok":
                may_be_undone = self._restores.may_have_lost(change, each)
            else:
                may_be_undone = self._restores.came_between(change, each)
            if not may_be_undone:
                says = f"{each.kind} went by one that had been changed"
                yield violation("an old password opens", says, known, each)

    def _known_at(self, change: Operation) -> Operation | None:
        """Find what first proves that a password was changed."""
        used = (
            o
            for o in self._all
            if o.kind == "login"
            and (o.outcome == "ok" or o.code == "account_disabled")
            and o.password == change.new_password
        )
        proofs = [*used, *([change] if change.outcome == "ok" else [])]
        return min(proofs, key=lambda each: each.ended, default=None)

    def _disabled_by_itself(self, each: Operation) -> Iterator[Violation]:
        """Check that an account is disabled only by somebody, and until it is enabled."""
        disabled = [o for o in self._disabled if o.started < each.ended]
        if not disabled:
            yield violation("disabled by itself", "nobody had disabled it", each)
        for enabled in self._enabled:
            if enabled.outcome != "ok" or enabled.ended > each.started:
                continue
            if self._restores.may_have_lost(enabled, each):
                continue
            if all(over(o, self._faults) <= enabled.started for o in disabled):
                says = "it had been enabled since"
                yield violation("disabled by itself", says, enabled, each)

    def _let_in(self, each: Operation) -> Iterator[Violation]:
        """Check that nobody is let in to an account that is disabled or deleted."""
        for ended in (*self._disabled, *self._deleted):
            if ended.outcome != "ok" or ended.ended > each.started:
                continue
            if self._restores.may_have_lost(ended, each):
                continue
            since = self._enabled if ended.kind == "users_disable" else self._signups
            if any(o.started < each.ended and over(o, self._faults) > ended.started for o in since):
                continue
            says = f"{each.kind} was let in after {ended.kind}"
            yield violation("an account that has ended lets in", says, ended, each)

    @staticmethod
    def _goes_by_password(each: Operation) -> bool:
        """Whether the answer tells that the password sent is right."""
        if each.code == "account_disabled":
            return True
        if each.kind == "reauthenticate" and each.secret:
            return False  # it was by a code
        kinds = "login", "answer", "password_change", "reauthenticate"
        return each.outcome == "ok" and each.kind in kinds


def _any_before(operations: Sequence[Operation], then: Operation) -> bool:
    return any(o.started < then.ended for o in operations)
