"""What `users`, `sessions` and `cutoff` print: JSON documents, and lines for people.

User agents and addresses are what clients have sent: no character of them steers a terminal.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from service.account_lifecycle.export import Export
from service.accounts.user_rows import User
from service.authentication.account_limits import LimitInForce
from service.clock import moment, timestamp
from service.operators import documents
from service.operators.lookup import AccountDetails
from service.sessions.record import Session

_STEERING = re.compile(r"[\x7f-\x9f\u2028\u2029]")


def as_json(document: object) -> str:
    """Spell a document as JSON, indented, in which all control characters are escaped."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    return _without_steering(text)


def json_line(document: object) -> str:
    """Spell a document as one line of JSON, in which all control characters are escaped."""
    return _without_steering(msgspec.json.encode(document).decode())


def _without_steering(text: str) -> str:
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(text: str) -> str:
    """Return a text as it can be printed: whatever is no visible character becomes `?`."""
    return "".join(character if character.isprintable() else "?" for character in text)


def account(user: User) -> dict[str, Any]:
    """Describe an account."""
    return {
        "id": user.id.hex(),
        "email": user.email,
        "emailVerified": user.email_verified_at is not None,
        "twoFA": {
            "enabled": user.two_fa_enabled,
            "recoveryCodesLeft": user.recovery_codes_left,
        },
        "createdAt": timestamp(user.created_at),
        "passwordChangedAt": documents.at(user.password_changed_at),
        "disabledAt": documents.at(user.disabled_at),
    }


def details(of: AccountDetails) -> dict[str, Any]:
    """Describe an account with its sessions and limits."""
    limits = of.limits
    return {
        **account(of.user),
        "sessions": [documents.session(each) for each in of.sessions],
        "limits": None if limits is None else [documents.limit(each) for each in limits],
    }


def export(of: Export) -> dict[str, Any]:
    """Describe an account with all that is kept of it, secrets aside."""
    user = of.user
    factors: list[dict[str, Any]] = []
    if user.two_fa_enabled:
        factors = [{"type": "totp"}, {"type": "recovery_code", "left": user.recovery_codes_left}]
    return {
        "exportedAt": timestamp(of.at),
        "account": account(user),
        "sessions": [documents.session(each) for each in of.sessions],
        "factors": factors,
        "identities": [
            {
                "provider": each.provider,
                "issuer": each.issuer,
                "subject": each.subject,
                "linkedAt": timestamp(each.linked_at),
            }
            for each in of.identities
        ],
        "events": [
            {"id": event.id, "at": timestamp(moment(event.at)), **event.fields}
            for event in of.events
        ],
    }


def lines_of(of: AccountDetails) -> list[str]:
    """Say what `details` does in lines for people."""
    user = of.user
    factor = f"on, {user.recovery_codes_left} recovery codes left" if user.two_fa_enabled else "off"
    rows = {
        "id": user.id.hex(),
        "e-mail": f"{plain(user.email)} ({'verified' if user.email_verified_at else 'unverified'})",
        "created": timestamp(user.created_at),
        "password": f"changed {documents.at(user.password_changed_at) or 'never'}",
        "2FA": factor,
        "state": f"disabled since {documents.at(user.disabled_at)}"
        if user.disabled_at
        else "enabled",
        "limits": _limits(of.limits),
    }
    return [*_pairs(rows), "", *session_lines(of.sessions)]


def name(user: User) -> str:
    """Name an account in a sentence."""
    return f"{plain(user.email)} ({user.id.hex()})"


def count(sessions: int) -> str:
    """Say how many sessions."""
    return "1 session" if sessions == 1 else f"{sessions:,} sessions"


def ending(sessions: int) -> str:
    """Say that so many sessions end."""
    return f"{count(sessions)} {'ends' if sessions == 1 else 'end'}"


def account_line(user: User) -> str:
    """Say in one line who it is."""
    state = "disabled" if user.disabled_at else "enabled"
    factor = "2FA on" if user.two_fa_enabled else "2FA off"
    return f"{user.id.hex()}  {plain(user.email)}  {state}, {factor}"


def session_lines(sessions: Sequence[Session]) -> list[str]:
    """List sessions as a table."""
    if not sessions:
        return ["No session lives."]
    head = ("session", "opened", "last used", "address", "user agent")
    rows = [
        (
            each.id.hex(),
            timestamp(each.opened_at),
            timestamp(each.last_used_at),
            each.ip_address or "-",
            plain(each.user_agent or "-"),
        )
        for each in sessions
    ]
    return table([head, *rows])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Set rows in columns."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _pairs(rows: Mapping[str, str]) -> list[str]:
    return table([*rows.items()])


def _limits(limits: Iterable[LimitInForce] | None) -> str:
    if limits is None:
        return "not known: the keys do not open"
    return ", ".join(f"{each.limit} for {each.retry_after} s" for each in limits) or "none reached"
