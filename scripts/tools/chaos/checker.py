"""Judge a history: which promises of the service were broken, whatever the faults were.

Every rule holds for each history that a right service can produce. What follows from an answer is
certain; an `unknown` operation may have happened or not, and never breaks a rule by itself.
"""

from collections.abc import Iterator

from tools.chaos import account_states, accounts, families, pod_rules
from tools.chaos.evidence import Terms, Violation, violation
from tools.chaos.gathering import sessions_of
from tools.chaos.history import History
from tools.chaos.restores import Restores
from tools.chaos.rollbacks import Rollbacks


def check(history: History, terms: Terms) -> list[Violation]:
    """Find all violations, those of the earliest operation first."""
    restores, rollbacks = Restores(history), Rollbacks(history)
    found = [*_answers(history), *accounts.check(history, restores, rollbacks)]
    found.extend(account_states.check(history, restores))
    found.extend(pod_rules.check(history, terms))
    for session in sessions_of(history, terms, restores, rollbacks):
        found.extend(families.check(session))
    return sorted(found, key=lambda each: each.operations[-1])


def _answers(history: History) -> Iterator[Violation]:
    """Check that no answer is a defect's, and none was meant for somebody else."""
    for each in history.operations:
        if each.status == 500 or each.code == "not the contract's":
            yield violation("defect", f"{each.kind} was answered {each.status} {each.code}", each)
        if each.whose and each.whose != each.person:
            yield violation("mixed up", f"{each.kind} got the answer for {each.whose}", each)
        expected = each.session if each.kind in ("refresh", "reauthenticate") else each.caller
        if each.which and each.which != expected:
            yield violation("mixed up", f"{each.kind} got the answer for {each.which}", each)
