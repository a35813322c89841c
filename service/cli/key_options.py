"""The commands `openshow-auth keys ...`; `key_commands`, imported when needed, does them."""

import argparse
from collections.abc import Callable
from typing import Any

from service.keyring.records import ROTATED
from service.settings import Settings


def add_to(commands: Any, read: Callable[[], Settings]) -> None:
    """Add `keys` to the commands of the program. `read` gives the settings when one is run."""
    keys = commands.add_parser(
        "keys",
        help="test the key service; turn keys over",
        description="Test the key service, show the keys and turn them over, beside a service that "
        "runs or without one. docs/keys.md says when to do what.",
    )
    actions = keys.add_subparsers(title="actions", required=True, metavar="action", dest="action")

    def run(options: argparse.Namespace) -> int:
        from service.cli import key_commands  # the other commands do without all that it needs

        return key_commands.run(read(), options)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        sentence = f"{text[0].upper()}{text[1:]}."
        parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=sentence)
        parser.set_defaults(run=run)
        return parser

    add("test", "prove that the key service wraps, unwraps, and opens this database")
    add("status", "show all keys, their ages, and how many records each still seals")
    rotate = add("rotate", "publish a new key, which is used when all have read it")
    rotate.add_argument(
        "key", choices=("data", *ROTATED), nargs="?", default="data", help="default: data"
    )
    add("rewrap", "seal everything under the newest data key, wrapped by the newest top key")
    retire = add("retire", "delete a data key that nothing needs any more")
    retire.add_argument(
        "epoch", type=int, nargs="?", help="its epoch; default: all but the current one"
    )
    revoke = add("revoke", "delete a key that others may have; what it made is refused")
    revoke.add_argument("key", choices=ROTATED, help="the kind of key")
    revoke.add_argument("id", help="as `status` shows it; for a signing key also its kid")
