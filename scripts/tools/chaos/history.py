"""What the clients have done, what was done to the servers, and when.

Times are seconds since the run began, on one monotonic clock: all clients live in one process.
Tokens and codes stand here as fingerprints, so that a kept history holds no secret.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal[
    "signup", "login", "answer", "refresh", "me", "list",
    "logout", "logout_all", "revoke", "enable", "verify", "live", "ready",
    "reauthenticate", "password_change", "account_delete",
    "users_logout", "users_disable", "users_enable", "users_delete", "cutoff", "guard",
]  # fmt: skip
"""Calls of people, and from `users_logout` on of operators. A `cutoff` is of everybody; `guard` is
asking a guard whether an access token counts."""

OPERATORS = -1
"""The number of the operators' process."""

Outcome = Literal["ok", "refused", "unknown", "unsent"]
"""`ok` and `refused` were answered. `unknown`: there was no answer, or 503, so it may have had its
effect or not. `unsent`: it never left, so it had none."""


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. What does not apply to its kind is empty."""

    number: int
    kind: Kind
    person: str
    """The e-mail address of who asks, or whom an operator asks about; empty for `live`, `ready` and
    `cutoff`."""
    pod: int
    """-1: the operators' process; -2: an app pod with a guard, and below: one that came later."""
    started: float
    ended: float
    outcome: Outcome
    status: int = 0
    code: str = ""
    """The error code; without an answer, the name of what went wrong."""
    caller: str = ""
    """The session whose access token was sent."""
    session: str = ""
    """The session that is opened, refreshed or ended."""
    keeps: bool = False
    """`logout_all` that spares the caller's own session; `verify` that ends all others."""
    password: str = ""
    """The password sent."""
    new_password: str = ""
    """The one that is to be right from now on."""
    presented: str = ""
    """The refresh token sent."""
    received: str = ""
    """The refresh token in the answer."""
    secret: str = ""
    """The enrolment whose TOTP code was sent, or whose recovery codes were."""
    step: int = 0
    """The step of the TOTP code sent."""
    challenge: str = ""
    """The challenge that was issued (`login`) or answered (`answer`)."""
    recovery: str = ""
    """The recovery code sent."""
    codes: tuple[str, ...] = ()
    """The recovery codes in the answer."""
    whose: str = ""
    """The e-mail address in the answer."""
    which: str = ""
    """The session id in the answer of `refresh` and `me`."""
    shows: str = ""
    """Whether the second factor is on or off by the answer of `me`."""
    bucket: int = -1
    """The one in which Redis has the account, by the access token in the answer."""
    life: int = 0
    """Seconds from `iat` to `exp` of the access token in the answer."""
    expires_in: int = 0
    """Seconds that the answer gives it."""
    off: float = 0.0
    """Seconds by which its `iat` lies before the call (negative) or after it."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something done to the servers, from its beginning until it was undone."""

    kind: str
    target: str
    started: float
    ended: float
    since: float = 0.0
    until: float = 0.0
    """From `since` to `until` it certainly was in effect; of a restored user store: nothing that
    began after `since` is in the copy, and what had ended by `until` was overwritten."""
    ahead: float = 0.0
    """Seconds by which the target's clock was ahead."""


class Redone(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod has logged of a bucket in which Redis had gone back: it was mended."""

    bucket: int
    started: float
    """When it was said."""
    replayed: int
    """Entries of the journal that were done again."""
    cut_off: bool
    """Whether the journal had not got all, so that everybody in the bucket was cut off."""


class History(msgspec.Struct):
    """All that has happened, in the order in which it ended."""

    operations: list[Operation] = []
    faults: list[Fault] = []
    redone: list[Redone] = []

    def keep(self, path: Path, people: Iterable[str]) -> None:
        """Write what these people did, all faults and what was mended, as lines of JSON.

        They are in the order of begin. What concerns nobody ('') concerns everybody.
        """
        chosen = set(people)
        entries: list[Operation | Fault | Redone] = [
            o for o in self.operations if o.person in chosen or "" in chosen
        ]
        entries.extend(self.faults)
        entries.extend(self.redone)
        lines = (msgspec.json.encode(each) for each in sorted(entries, key=lambda e: e.started))
        path.write_bytes(b"".join(line + b"\n" for line in lines))


def fingerprint(secret: str) -> str:
    """Name a token or code without giving it away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:10]
