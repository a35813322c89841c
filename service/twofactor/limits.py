"""The limits on wrong codes of a user: TOTP at login, TOTP in a session, and recovery codes apart.

At login whoever has the password may try, in a session only its owner. So what is wrong at login
keeps nobody from proving who they are in a session or with a recovery code, and whoever does is let
in at login again.
"""

from contextlib import AbstractAsyncContextManager
from typing import Literal

import msgspec

from service.rate_limits import Counter, RateLimits
from service.twofactor.totp import is_code

Door = Literal["login", "session"]


class CodeCounters(msgspec.Struct, frozen=True):
    """What the codes of a user are counted under."""

    login: Counter
    in_a_row: Counter
    session: Counter
    recovery: Counter

    def named(self) -> dict[str, Counter]:
        """Name each as its setting does, and what it is for."""
        return {
            "codes.login": self.login,
            "codes_in_a_row": self.in_a_row,
            "codes.session": self.session,
            "codes.recovery": self.recovery,
        }

    @classmethod
    def of(cls, rate_limits: RateLimits, user_id: bytes) -> "CodeCounters":
        """Make those of this user."""
        limits, user = rate_limits.limits, user_id.hex()
        login = rate_limits.subject("codes", user)
        return cls(
            login=Counter(limits.codes, login),
            in_a_row=Counter(limits.codes_in_a_row, login),
            session=Counter(limits.codes, rate_limits.subject("codes in sessions", user)),
            recovery=Counter(limits.codes, rate_limits.subject("recovery codes", user)),
        )


def limited_codes(
    rate_limits: RateLimits, user_id: bytes, code: str, door: Door
) -> AbstractAsyncContextManager[None]:
    """Count a try before its code is looked at; keep it counted if `WrongAnswer` is raised.

    Whatever is not spelt like a TOTP code counts as a recovery code. A right TOTP code at login
    ends what was wrong in a row; any other right one ends all that was wrong at login.

    Raises:
        TooManyAttempts: a limit is reached, so the code is not looked at.
    """
    of = CodeCounters.of(rate_limits, user_id)
    if door == "login" and is_code(code):
        return rate_limits.limited(user_id, [of.login, of.in_a_row], ends=[of.in_a_row])
    counted = of.session if is_code(code) else of.recovery
    return rate_limits.limited(user_id, [counted], ends=[of.login, of.in_a_row])
