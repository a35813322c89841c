"""The options of `openshow-auth doctor`; `command`, imported when needed, does it."""

import argparse
from typing import Any


def add_to(commands: Any) -> None:
    """Add `doctor` to the commands of the program."""
    parser = commands.add_parser(
        "doctor",
        help="look for what is wrong, and say what to do",
        description="Check settings, stores, durability, rights, clocks, keys and the feed's mark, "
        "and say what to do about each. Nothing is changed. Ends with 0 where there is no fault "
        "(warnings are none), 1 where there is one, 2 where a setting is wrong.",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from service.cli.doctor import command  # the other commands do without all that it needs

    return command.run(options)
