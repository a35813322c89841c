"""The command `api-keys`; `api_key_commands` does it, if needed."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from service.cli.operator_options import ANYWAY, add_reason, add_verb, add_yes, checked, runner
from service.settings import Settings

_SPAN = re.compile(r"([1-9][0-9]{0,4})([hd])", re.ASCII)


def add_to(commands: Any, read: Callable[[], Settings]) -> None:
    """Add the command to the program. `read` gives the settings when one is run."""
    run = runner(read)
    keys = commands.add_parser(
        "api-keys",
        help="make API keys for other software, list and revoke them",
        description="Make, list and revoke API keys: for operators' HTTP (SERVICE_ADMIN_BIND) and "
        "for introspection. See docs/operators.md.",
    )
    verbs = keys.add_subparsers(title="verbs", required=True, metavar="VERB")
    create = add_verb(verbs, "api-keys create", "make a key, and print it: once", run)
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
    add_verb(verbs, "api-keys list", "list the keys, without their texts", run)
    revoke = add_verb(
        verbs, "api-keys revoke", "revoke a key for good: within two seconds, at all pods", run
    )
    revoke.add_argument("key", metavar="ID", help="id of the key, 16 hex digits")
    for verb in (create, revoke):
        add_reason(verb)
        add_yes(verb, ANYWAY)


def _read_name(text: str) -> str:
    from service.api_keys.keys import name_of

    return checked(name_of, text)


def _read_scopes(text: str) -> tuple[str, ...]:
    from service.api_keys.keys import scopes_of

    return checked(scopes_of, text.split(","))


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
    return checked(lambda moment: expiry_of(moment, now), at)
