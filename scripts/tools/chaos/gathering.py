"""Gathering the evidence on each session from a history."""

from collections import defaultdict

from tools.chaos import sweeps
from tools.chaos.evidence import ABOUT, ROTATIONS, SessionEvidence, Terms, may_have_worked
from tools.chaos.history import History
from tools.chaos.restores import Restores
from tools.chaos.rollbacks import Rollbacks


def sessions_of(
    history: History, terms: Terms, restores: Restores, rollbacks: Rollbacks
) -> list[SessionEvidence]:
    """Gather the evidence on every session whose opening was answered."""
    found: dict[str, SessionEvidence] = {}
    of_person: dict[str, list[SessionEvidence]] = defaultdict(list)
    passwords = sweeps.passwords_of(history)
    for each in history.operations:
        if each.session and each.kind in ("signup", "login", "answer", "password_change"):
            password = passwords[each.number]
            session = SessionEvidence(each, password, terms, history.faults, restores, rollbacks)
            found[each.session] = session
            of_person[each.person].append(session)
    for each in history.operations:
        if each.caller in found:
            found[each.caller].asked.append(each)
        if each.kind in ABOUT and each.session in found:
            found[each.session].about.append(each)
        if each.kind in ROTATIONS and each.received and each.session in found:
            generations = found[each.session].generation
            generations.setdefault(each.received, generations[each.presented] + 1)
        if each.kind == "cutoff":
            for session in found.values():
                session.swept.append(each)
        elif sweeps.is_sweep(each):
            for session in of_person[each.person]:
                session.swept.append(each)
        if each.kind == "users_enable" and may_have_worked(each):
            for session in of_person[each.person]:
                session.enabled.append(each)
    _prove_by_passwords(history, of_person)
    return list(found.values())


def _prove_by_passwords(history: History, of_person: dict[str, list[SessionEvidence]]) -> None:
    """Find the logins that prove a session to have ended: by a password that nobody had asked for
    when it was opened. Whatever became of the call that has changed it, it was changed."""
    asked = sweeps.first_asked(history)
    for each in history.operations:
        is_right = each.outcome == "ok" or each.code == "account_disabled"
        if each.kind != "login" or not is_right or (each.person, each.password) not in asked:
            continue
        since = asked[each.person, each.password]
        for session in of_person[each.person]:
            if session.opened.ended <= since and session.password != each.password:
                session.proving.append(each)
