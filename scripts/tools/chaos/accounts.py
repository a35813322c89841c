"""The rules of an account and of its second factor."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tools.chaos.evidence import Violation, may_have_worked, violation
from tools.chaos.history import History, Operation
from tools.chaos.restores import Restores
from tools.chaos.rollbacks import Rollbacks
from tools.chaos.sweeps import DELETIONS

_MOST_WRONG_TRIES = 10
_CALLS = (
    "signup", "login", "answer", "enable", "verify", "me", "reauthenticate", "password_change",
    "users_disable", *DELETIONS,
)  # fmt: skip
_PASSWORDS, _CODES = ("login", "password_change"), ("answer", "verify")
_NOT_FOUND = ("challenge_not_found", "enrollment_not_found")
_WRONG = ("invalid_code", "invalid_credentials", "invalid_password")


def check(history: History, restores: Restores, rollbacks: Rollbacks) -> Iterator[Violation]:
    """Find all that went wrong with the accounts."""
    people: dict[str, list[Operation]] = defaultdict(list)
    for each in history.operations:
        if each.kind in _CALLS:
            people[each.person].append(each)
    for operations in people.values():
        yield from _second_factor_changed_by_itself(operations, restores)
        yield from _stale_rows(operations, restores)
        yield from _counted_twice(operations, restores, rollbacks)
        yield from _steps_go_back(operations)
        yield from _refused_without_cause(operations, restores, rollbacks)
        yield from _different_recovery_codes(operations)
        yield from _locked_out(operations)


def _second_factor_changed_by_itself(
    operations: Sequence[Operation], restores: Restores
) -> Iterator[Violation]:
    """Check that it is on from when a verification was answered, unless that was lost, and not
    before one was tried. So nobody goes by what the row has now."""
    verified = [o for o in operations if o.kind == "verify" and o.outcome == "ok"]
    tried = [o for o in operations if o.kind == "verify" and may_have_worked(o)]
    for each in operations:
        goes_by = each.kind == "enable" or (each.kind == "login" and not each.challenge)
        if each.outcome == "ok" and goes_by:
            before = (o for o in verified if o.ended <= each.started)
            on = _first(o for o in before if not restores.may_have_lost(o, each))
            if on:
                yield violation("a second factor was lost", f"{each.kind} went by it", on, each)
        asked = each.kind == "login" and each.challenge
        if (asked or each.code == "already_enabled") and not _any_before(tried, each):
            yield violation("a second factor out of nowhere", f"{each.kind} found one", each)


def _stale_rows(operations: Sequence[Operation], restores: Restores) -> Iterator[Violation]:
    """Check that nobody goes on with what a restored user store lacks: accounts, second factors."""
    made = _first(o for o in operations if o.kind == "signup" and o.outcome == "ok")
    for each in operations:
        if each.outcome != "ok" or each.kind != "me":
            continue
        if made and restores.have_long_lost(made, each):
            yield violation("a lost account lives on", "a pod remembers its row", made, each)
        tried = [o for o in operations if o.kind == "verify" and may_have_worked(o)]
        tried = [o for o in tried if o.started < each.ended]
        if each.shows == "on" and all(restores.have_long_lost(o, each) for o in tried):
            says = "a pod remembers its row"
            yield violation("a lost second factor lives on", says, *tried, each)


def _counted_twice(
    operations: Sequence[Operation], restores: Restores, rollbacks: Rollbacks
) -> Iterator[Violation]:
    """Check that a step of a secret, a challenge and a recovery code each count once.

    Verifying an enrolment again with the same code counts as once: it ends in the same state. A
    recovery code may count once more when its use was undone by a restored user store, and a
    challenge when Redis went back.
    """
    uses: dict[tuple[str, ...], dict[object, Operation]] = defaultdict(dict)
    for each in operations:
        if each.outcome != "ok" or each.kind not in ("answer", "verify", "reauthenticate"):
            continue
        if each.step:
            use = "verify" if each.kind == "verify" else each.number
            uses["a TOTP step", each.secret, str(each.step)][use] = each
        if each.kind == "answer":
            uses["a challenge", each.challenge][each.number] = each
        if each.recovery:
            uses["a recovery code", each.secret, each.recovery][each.number] = each
    for (what, *_), by_use in uses.items():
        in_turn = sorted(by_use.values(), key=lambda each: each.started)
        twice = [
            later
            for earlier, later in pairwise(in_turn)
            if not (what == "a recovery code" and restores.may_have_lost(earlier, later))
            and not (what == "a challenge" and rollbacks.may_have_undone(earlier, later))
        ]
        if twice:
            says = f"{what} counted {len(by_use)} times"
            yield violation("a code counted twice", says, *by_use.values())


def _steps_go_back(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Check that no step counts after a newer one."""
    counted = [o for o in operations if o.outcome == "ok" and o.step]
    for each in counted:
        for before in counted:
            if before.secret != each.secret or before.ended > each.started:
                continue
            if each.step < before.step:
                yield violation("an old code counted", f"step {each.step}", before, each)


def _refused_without_cause(
    operations: Sequence[Operation], restores: Restores, rollbacks: Rollbacks
) -> Iterator[Violation]:
    """Check that a challenge, an enrolment or a recovery code is there until something may have
    used it up, or the second factor that it belongs to was lost."""
    verified = [o for o in operations if o.kind == "verify" and may_have_worked(o)]
    ended = [
        o
        for o in operations
        if o.kind in ("password_change", "users_disable", *DELETIONS) and may_have_worked(o)
    ]
    for each in operations:
        if each.code in _NOT_FOUND and _any_before(ended, each):
            continue
        if any(restores.may_have_lost(o, each) for o in verified):
            continue
        if restores.may_have_lost_account(each):
            continue
        begun = [o for o in operations if o.outcome == "ok" and o.kind in ("login", "enable")]
        if each.code in _NOT_FOUND and any(rollbacks.may_have_undone(o, each) for o in begun):
            continue
        others = [o for o in operations if o is not each and o.started < each.ended]
        used = [o for o in others if may_have_worked(o)]
        spent = {o.recovery for o in used}
        if each.code == "challenge_not_found":
            tries = [o for o in others if o.challenge == each.challenge and o.kind == "answer"]
            if len(tries) < 5 and not any(map(may_have_worked, tries)):
                yield violation("a challenge was lost", "nobody had answered it", each)
        if each.code == "enrollment_not_found":
            tries = [o for o in others if o.secret == each.secret and o.kind == "verify"]
            causes = [o for o in used if o.kind in ("verify", "enable") and o.secret != each.secret]
            if len(tries) < 5 and not causes and not any(map(may_have_worked, tries)):
                yield violation("an enrolment was lost", "nothing can have ended it", each)
        if each.recovery and each.code == "invalid_code" and each.recovery not in spent:
            yield violation("a recovery code was lost", "nobody had used it", each)


def _different_recovery_codes(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Check that an enrolment shows the same recovery codes, however often it is verified."""
    shown = [o for o in operations if o.kind == "verify" and o.outcome == "ok"]
    for secret in {o.secret for o in shown}:
        answers = [o for o in shown if o.secret == secret]
        if len({o.codes for o in answers}) > 1:
            yield violation("recovery codes changed", "of one enrolment", *answers)


def _locked_out(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Check that only wrong tries reach limits; those without an answer may stay counted, too."""
    for each in operations:
        if each.code != "rate_limited":
            continue
        doors: tuple[str, ...] = _PASSWORDS if each.kind in _PASSWORDS else _CODES
        if each.kind == "reauthenticate":
            doors = (*_PASSWORDS, *_CODES)
        tries = [
            o
            for o in operations
            if o.kind in (*doors, "reauthenticate") and o is not each and o.started < each.ended
            and (o.outcome == "unknown" or o.code in _WRONG or o.ended > each.started)
        ]  # fmt: skip
        if len(tries) < _MOST_WRONG_TRIES:
            yield violation("locked out", f"after {len(tries)} wrong tries", *tries, each)


def _first(operations: Iterator[Operation]) -> Operation | None:
    return min(operations, key=lambda each: each.ended, default=None)


def _any_before(operations: Sequence[Operation], then: Operation) -> bool:
    return any(o is not then and o.started < then.ended for o in operations)
