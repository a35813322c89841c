"""An authenticator app and a sheet of recovery codes, in the hands of somebody who tries tricks."""

import random
import time
from typing import Any

import msgspec
import pyotp

from tools.chaos.history import fingerprint

_STEP = 30
_LATE = 3.0
"""Seconds for which a code must still be good when it is sent."""
_KEPT = 2
"""Recovery codes."""
_MOST_OLD_CODES = 4
"""Used codes that are shown again. Ten wrong ones in 15 minutes would lock the account."""


class Shown(msgspec.Struct, frozen=True):
    """A code, and what the history says of it."""

    code: str
    facts: dict[str, Any]


class Phone:
    """What has been scanned, and what was used of it."""

    def __init__(self, secret: str, otpauth_url: str, chance: random.Random) -> None:
        self.secret = secret
        """The id of the enrolment."""
        self.recovery_codes: list[str] = []
        self._totp = pyotp.parse_uri(otpauth_url)
        self._chance = chance
        self._used: list[int] = []
        self._old_codes = 0

    def code(self, step: int) -> str:
        return str(self._totp.generate_otp(step))

    def fresh_step(self) -> int | None:
        """Find the oldest step that was not used and is accepted for some seconds more."""
        now = time.time()
        earliest = int(now + _LATE) // _STEP - 1
        newest = max(self._used, default=0)
        step = max(earliest, newest + 1)
        if step > int(now) // _STEP + 1:
            return None
        self._used.append(step)
        return step

    def answer(self) -> Shown | None:
        """Choose what to answer a challenge with: a fresh code, a used one, or a recovery code;
        nothing when all are used up but those that are kept for the end."""
        if self._used and self._old_codes < _MOST_OLD_CODES and self._chance.random() < 0.3:
            self._old_codes += 1
            return self.show(self._chance.choice(self._used))
        step = self.fresh_step() if self._chance.random() < 0.8 else None
        if step is not None:
            return self.show(step)
        return self.recovery() if len(self.recovery_codes) > _KEPT else None

    def show(self, step: int) -> Shown:
        """Show the code of a step."""
        return Shown(self.code(step), {"secret": self.secret, "step": step})

    def recovery(self) -> Shown | None:
        """Show the next recovery code, which is then crossed out."""
        if not self.recovery_codes:
            return None
        code = self.recovery_codes.pop()
        return Shown(code, {"secret": self.secret, "recovery": fingerprint(code)})
