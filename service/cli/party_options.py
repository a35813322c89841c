"""The command `relying-parties`; `party_commands` does it, if needed."""

import argparse
from collections.abc import Callable
from typing import Any

from service.errors import InvalidField
from service.settings import Settings


def add_to(commands: Any, read: Callable[[], Settings]) -> None:
    """Add the command to the program. `read` gives the settings when one is run."""

    def run(options: argparse.Namespace) -> int:
        from service.cli import account_commands  # the other commands do without all that it needs

        return account_commands.run(read(), options)

    parties = commands.add_parser(
        "relying-parties",
        help="register apps that are told when sessions end, list and remove them",
        description="Register, list and remove relying parties: apps that are told when sessions "
        "end (OpenID Connect Back-Channel Logout 1.0). See docs/openid.md.",
        epilog="Exit codes: 0 done, already so, or a dry run; 1 not there, refused or failed; 2 "
        "usage or settings.",
    )
    verbs = parties.add_subparsers(title="verbs", required=True, metavar="VERB")
    create = _add(verbs, "create", "register an app", run)
    create.add_argument("client_id", metavar="CLIENT_ID", help="the aud of its logout tokens")
    create.add_argument(
        "--backchannel-logout-uri",
        metavar="URI",
        required=True,
        help="where they are posted to: https to a public address, or into SERVICE_SINK_NETWORKS",
    )
    create.add_argument(
        "--session-required",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="each token names a session; else the end of all of somebody's is told as one",
    )
    _add(verbs, "list", "list the apps that are registered", run)
    remove = _add(verbs, "remove", "tell an app nothing any more", run)
    remove.add_argument("client_id", metavar="CLIENT_ID", help="under which it is registered")
    for verb, text in (
        (create, "not needed: it is done anyway"),
        (remove, "do it; else tell what would be done"),
    ):
        verb.add_argument(
            "--reason", metavar="TEXT", type=_read_reason, help="why, for the audit event"
        )
        verb.add_argument("--yes", action="store_true", help=text)


def _add(
    verbs: Any, verb: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    sentence = f"{text[0].upper()}{text[1:]}."
    parser: argparse.ArgumentParser = verbs.add_parser(verb, help=text, description=sentence)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, action=f"relying-parties {verb}")
    return parser


def _read_reason(text: str) -> str:
    from service.operators.request import reason

    try:
        return reason(text)
    except InvalidField as error:
        raise argparse.ArgumentTypeError(error.message) from None
