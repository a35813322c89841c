"""Why somebody does not get in: what an account and its last events say about it."""

from collections.abc import Sequence

import msgspec

from service.accounts.user_rows import User
from service.authentication.account_limits import LimitInForce
from service.clock import timestamp
from service.events.event import AuditEvent

_PASSWORDS = ("account", "account_network")
_WRONG_CODES = ("twoFA.challengeFailed", "twoFA.codeFailed")
_LET_IN = "user.loggedIn"


class Reason(msgspec.Struct, frozen=True):
    """What may keep somebody out, in a word, a sentence, and what to do about it."""

    reason: str
    message: str
    advice: str


NO_ACCOUNT = Reason(
    "no_account",
    "there is no such account",
    "ask for the address that they use; it may have been deleted",
)


def reasons_of(
    user: User,
    limits: Sequence[LimitInForce],
    events: Sequence[AuditEvent],
    *,
    verified_only: bool,
) -> list[Reason]:
    """Find what keeps the person out. `events`: the last ones of the account, newest first."""
    found = _of_account(user, verified_only) + _of_limits(limits)
    recent = _since_login(events)
    since = [event for event in recent if event.type == "user.passwordFailed"]
    if since:
        found.append(
            Reason(
                "wrong_password",
                f"a wrong password was tried {len(since)} times since the last login,"
                f" last at {since[0].at} from {since[0].fields.get('ip') or 'nowhere'}",
                "have them set another: `users reset-password`",
            )
        )
    codes = [event for event in recent if event.type in _WRONG_CODES]
    if codes:
        found.append(
            Reason(
                "wrong_code",
                f"a wrong code was tried {len(codes)} times since the last login,"
                f" last at {codes[0].at}",
                "have them look at the clock of the phone, or take a recovery code",
            )
        )
    return found


def _of_account(user: User, verified_only: bool) -> list[Reason]:
    found = []
    if user.disabled_at is not None:
        found.append(
            Reason(
                "disabled",
                f"an operator has disabled the account at {timestamp(user.disabled_at)}",
                "see why: `events list --user`; then `users enable`",
            )
        )
    if verified_only and user.email_verified_at is None:
        found.append(
            Reason(
                "unverified",
                "the address was never verified (SERVICE_EMAIL_VERIFICATION=required)",
                "have them sign up again, or reset the password: both mail a link",
            )
        )
    if user.two_fa_enabled and not user.recovery_codes_left:
        found.append(
            Reason(
                "no_recovery_codes",
                "the second factor is on, and no recovery code is left if the phone is gone",
                "known by other means, `users reset-2fa`",
            )
        )
    return found


def _of_limits(limits: Sequence[LimitInForce]) -> list[Reason]:
    return [
        Reason(
            "password_limit" if each.limit in _PASSWORDS else "code_limit",
            f"the limit {each.limit} is reached, for {each.retry_after} s",
            "wait, or `users unlock`",
        )
        for each in limits
        if each.limit in (*_PASSWORDS, "codes", "codes_in_a_row")
    ]


def _since_login(events: Sequence[AuditEvent]) -> list[AuditEvent]:
    last = [place for place, event in enumerate(events) if event.type == _LET_IN]
    return list(events[: last[0]] if last else events)
