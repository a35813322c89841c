"""The commands `users`, `sessions` and `cutoff`; `account_commands` does them, if needed."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from service.cli.operator_options import (
    ANYWAY,
    EXIT_CODES,
    IF_YES,
    OF_EVENT,
    Run,
    add_reason,
    add_verb,
    add_yes,
    runner,
    sentence,
)
from service.settings import Settings

_USER = "id, 32 hex digits, or e-mail address"
_PASSED_OVER = "passed over: no audit event is written"

_VERBS: Sequence[tuple[str, str, str]] = (
    ("disable", "destroys", "end all sessions, and let nobody log in or refresh"),
    ("enable", "changes", "let the person log in again"),
    ("unlock", "changes", "forgive the limits on wrong passwords and codes"),
    ("logout", "destroys", "end all sessions"),
    (
        "reset-2fa",
        "destroys",
        "take the second factor and its recovery codes away, end all sessions",
    ),
    ("reset-password", "changes", "print a link by which a new password is set, once"),
    ("delete", "destroys", "delete the account with all that belongs to it but its events"),
)


def add_to(commands: Any, read: Callable[[], Settings]) -> None:
    """Add the commands to the program. `read` gives the settings when one is run."""
    run = runner(read)
    _add_users(commands, run)
    _add_sessions(commands, run)
    text = "end everybody's sessions"
    _change(add_verb(commands, "cutoff", text, run), destroys=True)


def _add_users(commands: Any, run: Run) -> None:
    users = commands.add_parser(
        "users",
        help="find accounts, and change them",
        description="Look at accounts and change them, beside a service that runs or without one. "
        "Each change is an audit event with its reason. What destroys something is a dry run "
        "without --yes. See docs/operators.md.",
        epilog=EXIT_CODES,
    )
    verbs = users.add_subparsers(title="verbs", required=True, metavar="VERB")
    for verb, text in (
        ("find", "tell whether there is an account, and its id"),
        ("show", "show an account, its sessions, and the limits that it has reached"),
        ("explain", "tell why the person cannot log in, as far as can be seen from here"),
        ("export", "print all that is kept of an account as JSON"),
    ):
        parser = add_verb(verbs, f"users {verb}", text, run, epilog=EXIT_CODES)
        parser.add_argument("user", metavar="USER", help=_USER)
        add_reason(parser, text=OF_EVENT if verb == "export" else _PASSED_OVER)
    for verb, kind, text in _VERBS:
        parser = add_verb(verbs, f"users {verb}", text, run, epilog=EXIT_CODES)
        parser.add_argument("user", metavar="USER", help=_USER)
        _change(parser, destroys=kind == "destroys")


def _add_sessions(commands: Any, run: Run) -> None:
    text = "list the sessions of an account, and end one"
    sessions = commands.add_parser("sessions", help=text, description=sentence(text))
    verbs = sessions.add_subparsers(title="verbs", required=True, metavar="VERB")
    text = "list the living sessions of an account"
    listing = add_verb(verbs, "sessions list", text, run, epilog=EXIT_CODES)
    whose = listing.add_mutually_exclusive_group(required=True)
    whose.add_argument("user", metavar="USER", nargs="?", help=_USER)
    whose.add_argument("--user", dest="user_option", metavar="USER", help="the same")
    text = "end one session of an account"
    end = add_verb(verbs, "sessions end", text, run, epilog=EXIT_CODES)
    end.add_argument("session", metavar="SID", help="id of the session, 24 hex digits")
    end.add_argument("--user", metavar="USER", required=True, help=f"whose it is: {_USER}")
    _change(end, destroys=True)


def _change(parser: argparse.ArgumentParser, *, destroys: bool) -> None:
    add_reason(parser, required=True)
    add_yes(parser, IF_YES if destroys else ANYWAY)
