"""The command `relying-parties`; `party_commands` does it, if needed."""

import argparse
from collections.abc import Callable
from typing import Any

from service.cli.operator_options import (
    ANYWAY,
    EXIT_CODES,
    IF_YES,
    add_reason,
    add_verb,
    add_yes,
    runner,
)
from service.settings import Settings


def add_to(commands: Any, read: Callable[[], Settings]) -> None:
    """Add the command to the program. `read` gives the settings when one is run."""
    run = runner(read)
    parties = commands.add_parser(
        "relying-parties",
        help="register apps that are told when sessions end, list and remove them",
        description="Register, list and remove relying parties: apps that are told when sessions "
        "end (OpenID Connect Back-Channel Logout 1.0). See docs/openid.md.",
        epilog=EXIT_CODES,
    )
    verbs = parties.add_subparsers(title="verbs", required=True, metavar="VERB")
    create = add_verb(verbs, "relying-parties create", "register an app", run)
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
    add_verb(verbs, "relying-parties list", "list the apps that are registered", run)
    remove = add_verb(verbs, "relying-parties remove", "tell an app nothing any more", run)
    remove.add_argument("client_id", metavar="CLIENT_ID", help="under which it is registered")
    for verb, text in ((create, ANYWAY), (remove, IF_YES)):
        add_reason(verb)
        add_yes(verb, text)
