"""What the options of operators' commands share: `--reason`, `--json`, and what `--yes` does."""

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from service.errors import InvalidField
from service.settings import Settings

EXIT_CODES = (
    "Exit codes: 0 done, already so, or a dry run; 1 not there, refused or failed; 2 usage or "
    "settings."
)
OF_EVENT = "why, for the audit event"
IF_YES = "do it; else tell what would be done"
ANYWAY = "not needed: it is done anyway"

Run = Callable[[argparse.Namespace], int]
Given = TypeVar("Given")
Read = TypeVar("Read")


def runner(read: Callable[[], Settings]) -> Run:
    """Make what carries commands out. `read` gives the settings when one is run."""

    def run(options: argparse.Namespace) -> int:
        from service.cli import account_commands  # the other commands do without all that it needs

        return account_commands.run(read(), options)

    return run


def add_verb(
    verbs: Any, action: str, text: str, run: Run, *, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Add a verb, the last word of its `action`, which can print JSON. `text` is its help."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        action.split()[-1], help=text, description=sentence(text), epilog=epilog
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, action=action)
    return parser


def add_reason(
    parser: argparse.ArgumentParser, *, required: bool = False, text: str = OF_EVENT
) -> None:
    """Add `--reason`."""
    parser.add_argument("--reason", metavar="TEXT", type=_read_reason, required=required, help=text)


def add_yes(parser: argparse.ArgumentParser, text: str) -> None:
    """Add `--yes`."""
    parser.add_argument("--yes", action="store_true", help=text)


def checked(read: Callable[[Given], Read], value: Given) -> Read:
    """Read a value of the command line; what is wrong with it is told as wrong usage."""
    try:
        return read(value)
    except InvalidField as error:
        raise argparse.ArgumentTypeError(error.message) from None


def sentence(text: str) -> str:
    """Return a help text as a description."""
    return f"{text[0].upper()}{text[1:]}."


def _read_reason(text: str) -> str:
    from service.operators.request import reason

    return checked(reason, text)
