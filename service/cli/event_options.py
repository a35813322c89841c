"""The command `events`; `event_commands` does it, if needed."""

import argparse
from collections.abc import Callable
from typing import Any

from service.settings import Settings

_LIST = "list audit events, newest first"
_FOLLOW = "print audit events as they are written, until it is ended"


def add_to(commands: Any, read: Callable[[], Settings]) -> None:
    """Add the command to the program. `read` gives the settings when it is run."""

    def run(options: argparse.Namespace) -> int:
        from service.cli import event_commands  # the other commands do without all that it needs

        return event_commands.run(read(), options)

    events = commands.add_parser(
        "events",
        help="read the audit events, and verify copies of them",
        description="Read the audit events that Redis keeps, and look after their copies. To list "
        "and follow, a Redis user who may do no more is enough (openshow-events in redis.conf). "
        "See docs/events.md and docs/sinks.md.",
        epilog="Exit codes: 0 done; 1 not there, refused or failed; 2 usage or settings.",
    )
    verbs = events.add_subparsers(title="verbs", required=True, metavar="VERB")
    listing = _parser(verbs, "list", _LIST, run)
    listing.add_argument(
        "--after", metavar="ID", type=_event, help="go on behind this event: with older ones"
    )
    listing.add_argument(
        "--limit",
        metavar="N",
        type=_limit,
        default=100,
        help="how many, 1 to 1,000 (default: 100)",
    )
    following = _parser(verbs, "follow", _FOLLOW, run)
    following.add_argument(
        "--after",
        metavar="ID",
        type=_before,
        help="begin with what is newer than this event; 0: with the oldest",
    )

    def run_copies(options: argparse.Namespace) -> int:
        from service.cli import sink_commands

        return sink_commands.run(read(), options)

    _add_copies(verbs, run_copies)


def _add_copies(verbs: Any, run: Callable[[argparse.Namespace], int]) -> None:
    verify = verbs.add_parser(
        "verify",
        help="find what was cut out of a copy of the events, or changed",
        description="Check the chain of batches in the files that SERVICE_SINK_FILE has written on "
        "all pods, or without files in the table `audit`: what was cut out, changed or put in, "
        "against signatures and against what Redis still has. Ends with 1 where there is a fault.",
    )
    verify.add_argument("files", metavar="FILE", nargs="*", help="in the order they were written")
    replay = verbs.add_parser(
        "replay",
        help="have a sink get events again",
        description="Have a sink get again all events that are kept and newer than one.",
    )
    replay.add_argument(
        "sink",
        metavar="SINK",
        help="file, sql, webhook-… (see `events webhooks`) or party-… (see `relying-parties list`)",
    )
    replay.add_argument(
        "--after", metavar="ID", required=True, type=_before, help="0: all that is kept"
    )
    replay.add_argument("--yes", action="store_true", help="do it; else tell what would be done")
    webhooks = verbs.add_parser(
        "webhooks",
        help="print what receivers verify webhooks by",
        description="Print, for each URL of SERVICE_SINK_WEBHOOKS, the sink's name, the secret for "
        "this receiver alone (v1), and the public key (v1a).",
    )
    for verb, parser in (("verify", verify), ("replay", replay), ("webhooks", webhooks)):
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=run, action=f"events {verb}")


def _parser(
    verbs: Any, verb: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        verb, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    parser.add_argument("--user", metavar="USER", help="only of this account: id or address")
    parser.add_argument("--type", metavar="TYPE", help="only of this type, such as user.loggedIn")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, action=f"events {verb}")
    return parser


def _before(text: str) -> str:
    """Read the id of an event; `0` stands for the place before all of them."""
    return "00-0-0" if text == "0" else _event(text)


def _event(text: str) -> str:
    from service.events.event import Position

    try:
        Position.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"that {error}") from None
    return text


def _limit(text: str) -> int:
    from service.events.reading import MOST

    limit = int(text)
    if not 1 <= limit <= MOST:
        raise argparse.ArgumentTypeError(f"it must be 1 to {MOST:,}")
    return limit
