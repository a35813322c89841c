"""The commands `users`, `sessions` and `cutoff`; `account_commands` does them, if needed."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from service.errors import InvalidField
from service.settings import Settings

_USER = "id, 32 hex digits, or e-mail address"

_EXIT_CODES = (
    "Exit codes: 0 done, already so, or a dry run; 1 not there, refused or failed; 2 usage or "
    "settings."
)

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

    def run(options: argparse.Namespace) -> int:
        from service.cli import account_commands  # the other commands do without all that it needs

        return account_commands.run(read(), options)

    _add_users(commands, run)
    _add_sessions(commands, run)
    text = "end everybody's sessions"
    everybody = commands.add_parser("cutoff", help=text, description=_sentence(text))
    _change(everybody, run, "cutoff", destroys=True)


def _add_users(commands: Any, run: Callable[[argparse.Namespace], int]) -> None:
    users = commands.add_parser(
        "users",
        help="find accounts, and change them",
        description="Look at accounts and change them, beside a service that runs or without one. "
        "Each change is an audit event with its reason. What destroys something is a dry run "
        "without --yes. See docs/operators.md.",
        epilog=_EXIT_CODES,
    )
    verbs = users.add_subparsers(title="verbs", required=True, metavar="VERB")
    for verb, text in (
        ("find", "tell whether there is an account, and its id"),
        ("show", "show an account, its sessions, and the limits that it has reached"),
        ("explain", "tell why the person cannot log in, as far as can be seen from here"),
        ("export", "print all that is kept of an account as JSON"),
    ):
        parser = _parser(verbs, verb, text, run, f"users {verb}")
        parser.add_argument("user", metavar="USER", help=_USER)
        _reason(parser, required=False, kept=verb == "export")
    for verb, kind, text in _VERBS:
        parser = verbs.add_parser(verb, help=text, description=_sentence(text), epilog=_EXIT_CODES)
        parser.add_argument("user", metavar="USER", help=_USER)
        _change(parser, run, f"users {verb}", destroys=kind == "destroys")


def _add_sessions(commands: Any, run: Callable[[argparse.Namespace], int]) -> None:
    text = "list the sessions of an account, and end one"
    sessions = commands.add_parser("sessions", help=text, description=_sentence(text))
    verbs = sessions.add_subparsers(title="verbs", required=True, metavar="VERB")
    listing = _parser(verbs, "list", "list the living sessions of an account", run, "sessions list")
    whose = listing.add_mutually_exclusive_group(required=True)
    whose.add_argument("user", metavar="USER", nargs="?", help=_USER)
    whose.add_argument("--user", dest="user_option", metavar="USER", help="the same")
    text = "end one session of an account"
    end = verbs.add_parser("end", help=text, description=_sentence(text), epilog=_EXIT_CODES)
    end.add_argument("session", metavar="SID", help="id of the session, 24 hex digits")
    end.add_argument("--user", metavar="USER", required=True, help=f"whose it is: {_USER}")
    _change(end, run, "sessions end", destroys=True)


def _parser(
    verbs: Any, verb: str, text: str, run: Callable[[argparse.Namespace], int], action: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        verb, help=text, description=_sentence(text), epilog=_EXIT_CODES
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, action=action)
    return parser


def _change(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    action: str,
    *,
    destroys: bool,
) -> None:
    _reason(parser, required=True, kept=True)
    text = "do it; else tell what would be done" if destroys else "not needed: it is done anyway"
    parser.add_argument("--yes", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, action=action)


def _reason(parser: argparse.ArgumentParser, *, required: bool, kept: bool) -> None:
    parser.add_argument(
        "--reason",
        metavar="TEXT",
        type=_read_reason,
        required=required,
        help="why, for the audit event" if kept else "passed over: no audit event is written",
    )


def _read_reason(text: str) -> str:
    from service.operators.request import reason

    try:
        return reason(text)
    except InvalidField as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
