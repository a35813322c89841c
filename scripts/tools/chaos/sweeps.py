"""What ends all sessions of an account at once: which of them have ended, and which it spares."""

from collections import defaultdict
from collections.abc import Callable, Mapping

from tools.chaos.history import History, Operation

DELETIONS = ("account_delete", "users_delete")
_SWEEPS = (
    *DELETIONS, "logout_all", "password_change", "users_logout", "users_disable", "cutoff",
)  # fmt: skip


def is_sweep(operation: Operation) -> bool:
    """Whether it is a call that ends all sessions of an account, or all others."""
    return operation.kind in _SWEEPS or (operation.kind == "verify" and operation.keeps)


def spares(sweep: Operation, opened: Operation, password: str) -> bool:
    """Whether it leaves this session alone, whenever it takes effect.

    A change of the password spares what was opened by the new one, its own session included.
    """
    if sweep.keeps and sweep.caller == opened.session:
        return True
    return sweep.kind == "password_change" and sweep.new_password == password


def has_ended(
    sweep: Operation,
    opened: Operation,
    password: str,
    enabling: Callable[[Operation], bool],
) -> bool:
    """Whether an answered sweep has ended this session, which `password` has opened.

    What was opened before has ended. Of what was opened meanwhile: all, where the account is
    deleted, or disabled and nobody was `enabling` it; and what was opened by the password that was
    changed, since a login that began before ends as one that began after it.
    """
    if spares(sweep, opened, password) or opened.started >= sweep.ended:
        return False
    if opened.ended <= sweep.started or sweep.kind in DELETIONS:
        return True
    if sweep.kind == "users_disable":
        return not enabling(sweep)
    return sweep.kind == "password_change" and sweep.password == password


def passwords_of(history: History) -> Mapping[int, str]:
    """Find the password by which each session or challenge was opened, by operation.

    Who answers a challenge has given it before.
    """
    of_challenge = {o.challenge: o.password for o in history.operations if o.kind == "login"}
    found: dict[int, str] = defaultdict(str)
    for each in history.operations:
        if each.kind == "answer":
            found[each.number] = of_challenge.get(each.challenge, "")
        else:
            found[each.number] = each.new_password or each.password
    return found


def first_asked(history: History) -> Mapping[tuple[str, str], float]:
    """Find when each new password of each person was first asked for; no password comes twice."""
    found: dict[tuple[str, str], float] = {}
    for each in history.operations:
        if each.kind == "password_change" and each.outcome != "unsent":
            asked = each.person, each.new_password
            found[asked] = min(each.started, found.get(asked, each.started))
    return found
