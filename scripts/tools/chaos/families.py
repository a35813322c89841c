"""The rules of a session and of the family of its refresh tokens."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

from tools.chaos.evidence import SessionEvidence, Violation, is_reuse, violation
from tools.chaos.history import Operation


def check(session: SessionEvidence) -> Iterator[Violation]:
    """Find all that went wrong with this session."""
    yield from _came_back(session)
    yield from _ended_twice(session)
    yield from _lost(session)
    yield from _judged_as_theft(session)
    yield from _forked(session)
    yield from _outlived(session)


def _came_back(session: SessionEvidence) -> Iterator[Violation]:
    """Check that what an answer has said to be over is over: for every token, on every pod."""
    found = (*session.about, *session.asked, *session.swept, *session.proving)
    everything = {each.number: each for each in found}
    endings = [
        each for each in everything.values() if session.says_ended(each) and session.is_final(each)
    ]
    for each in everything.values():
        before = [
            ending
            for ending in endings
            if session.must_know(ending, each) and not session.may_be_undone(ending, each)
        ]
        if not before or not session.accepted(each):
            continue
        first = min(before, key=lambda ending: ending.ended)
        if first not in session.proving:
            says = f"{each.kind} was accepted after {first.kind} had said that the session is over"
            yield violation("a revoked session came back", says, first, each)
        elif each.kind not in ("logout", "revoke"):  # to end it again is no use of it
            says = f"{each.kind} was accepted, and the password had been changed since it began"
            yield violation("a new password with an old session", says, first, each)


def _ended_twice(session: SessionEvidence) -> Iterator[Violation]:
    """Check that at most one of all logouts and revocations is told that it has ended it."""
    enders = [e for e in session.about if e.kind in ("logout", "revoke") and e.outcome == "ok"]
    if len(enders) > 1:
        yield violation("ended twice", f"{len(enders)} calls have ended the session", *enders)


def _lost(session: SessionEvidence) -> Iterator[Violation]:
    """Check that nobody is told that it is over unless something may have ended it."""
    for each in {e.number: e for e in (*session.about, *session.asked)}.values():
        if is_reuse(each) or each.outcome == "ok" or not session.says_ended(each):
            continue
        if not session.may_have_ended(each):
            says = f"{each.kind} says that the session is over, and nothing can have ended it"
            yield violation("a session was lost", says, session.opened, each)


def _judged_as_theft(session: SessionEvidence) -> Iterator[Violation]:
    """Check that a token is only taken for stolen when it was spent, and its grace is over."""
    for each in session.refreshes():
        if is_reuse(each) and not session.justifies_reuse(each):
            says = "an honest refresh was taken for theft"
            yield violation("an early reuse verdict", says, session.opened, each)


def _forked(session: SessionEvidence) -> Iterator[Violation]:
    """Check that a token has one successor, whoever presents it."""
    for spent, answers in _by_token(session).items():
        in_turn = sorted(answers, key=lambda each: each.started)
        forked = any(
            later.received != first.received and not session.is_undone(first, later)
            for first, later in combinations(in_turn, 2)
        )
        if forked:
            says = f"{spent} has several successors"
            yield violation("two live refresh tokens", says, *answers)


def _outlived(session: SessionEvidence) -> Iterator[Violation]:
    """Check that a spent token is good only within its grace, until its successor is spent."""
    generation = session.generation
    answers = [each for each in session.refreshes() if each.outcome == "ok"]
    by_end = sorted(answers, key=lambda each: each.ended)
    furthest, position = None, 0
    for each in sorted(answers, key=lambda each: each.started):
        while position < len(by_end) and by_end[position].ended <= each.started:
            ended = by_end[position]
            if not furthest or generation[ended.presented] > generation[furthest.presented]:
                furthest = ended
            position += 1
        if (
            furthest
            and generation[furthest.presented] > generation[each.presented]
            and not session.is_undone(furthest, each)
        ):
            says = "a token was good whose successor had been spent"
            yield violation("two live refresh tokens", says, furthest, each)
    for same in _by_token(session).values():
        first = min(same, key=lambda each: each.ended)
        for each in same:
            if session.grace_was_over(first, each) and not session.is_undone(first, each):
                yield violation("two live refresh tokens", "its grace was over", first, each)


def _by_token(session: SessionEvidence) -> dict[str, list[Operation]]:
    """Sort the refreshes that were answered by the token presented."""
    found: dict[str, list[Operation]] = defaultdict(list)
    for each in session.refreshes():
        if each.outcome == "ok":
            found[each.presented].append(each)
    return found
