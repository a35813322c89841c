"""The command `api-keys`; `api_key_commands` does it, if needed."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from service.errors import InvalidField
from service.settings import Settings

Given = TypeVar("Given")
Read = TypeVar("Read")

_SPAN = re.compile(r"([1-9][0-9]{0,4})([hd])", re.ASCII)


def add_to(commands: Any, read: Callable[[], Settings]) -> None:
    """Add the command to the program. `read` gives the settings when one is run."""

    def run(options: argparse.Namespace) -> int:
        from service.cli import account_commands  # the other commands do without all that it needs

        return account_commands.run(read(), options)

    keys = commands.add_parser(
        "api-keys",
        help="make API keys for other software, list and revoke them",
        description="Make, list and revoke API keys: for operators' HTTP (SERVICE_ADMIN_BIND) and "
        "for introspection. See docs/operators.md.",
    )
    verbs = keys.add_subparsers(title="verbs", required=True, metavar="VERB")
    create = _add(verbs, "create", "make a key, and print it: once", run)
    create.add_argument("name", metavar="NAME", type=_read_name, help="what it is for")
    create.add_argument(
        "--scopes",
        metavar="A,B",
        required=True,
        type=_read_scopes,
        help="what it may do: users.read, users.write, sessions.end, events.read, introspect",
    )
    create.add_argument(
        "--expires",
        metavar="WHEN",
        type=_read_expiry,
        help="when it expires: in 12h or 90d, or a UTC date or time such as 2027-01-31; else never",
    )
    _add(verbs, "list", "list the keys, without their texts", run)
    revoke = _add(verbs, "revoke", "revoke a key for good: within two seconds, at all pods", run)
    revoke.add_argument("key", metavar="ID", help="id of the key, 16 hex digits")
    for verb in (create, revoke):
        verb.add_argument(
            "--reason", metavar="TEXT", type=_read_reason, help="why, for the audit event"
        )
        verb.add_argument("--yes", action="store_true", help="not needed: it is done anyway")


def _add(
    verbs: Any, verb: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    sentence = f"{text[0].upper()}{text[1:]}."
    parser: argparse.ArgumentParser = verbs.add_parser(verb, help=text, description=sentence)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, action=f"api-keys {verb}")
    return parser


def _read_name(text: str) -> str:
    from service.api_keys.keys import name_of

    return _checked(name_of, text)


def _read_scopes(text: str) -> tuple[str, ...]:
    from service.api_keys.keys import scopes_of

    return _checked(scopes_of, text.split(","))


def _read_reason(text: str) -> str:
    from service.operators.request import reason

    return _checked(reason, text)


def _read_expiry(text: str) -> datetime:
    """Read when a key expires: a time from now, or a date or time, UTC unless it says otherwise."""
    from service.api_keys.keys import expiry_of

    now = datetime.now(UTC)
    if span := _SPAN.fullmatch(text):
        unit = "hours" if span[2] == "h" else "days"
        at = now + timedelta(**{unit: int(span[1])})
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise argparse.ArgumentTypeError("must be such as 12h, 90d or 2027-01-31") from None
        at = at.replace(tzinfo=at.tzinfo or UTC)
    return _checked(lambda moment: expiry_of(moment, now), at)


def _checked(read: Callable[[Given], Read], value: Given) -> Read:
    try:
        return read(value)
    except InvalidField as error:
        raise argparse.ArgumentTypeError(error.message) from None
