"""The command `guards`; `guard_commands` does it, if needed."""

import argparse
from collections.abc import Callable
from typing import Any

from service.settings import Settings


def add_to(commands: Any, read: Callable[[], Settings]) -> None:
    """Add the command to the program. `read` gives the settings when it is run."""

    def run(options: argparse.Namespace) -> int:
        from service.cli import guard_commands  # the other commands do without all that it needs

        return guard_commands.run(read(), options)

    guards = commands.add_parser(
        "guards",
        help="list the guards that follow the feed, and how far behind they are",
        description="List the guards that have said in the last 15 s how far they have read, and "
        "how far behind they are. Those in the modes strict and offline, and those whose user may "
        "not write, are not among them. See docs/guard.md.",
        epilog="Exit codes: 0 done; 1 refused or failed; 2 usage or settings.",
    )
    guards.add_argument("--watch", action="store_true", help="list them every second, until ended")
    guards.add_argument("--json", action="store_true", help="print JSON")
    guards.set_defaults(run=run)
