"""The actions of the command `redis`; `redis_commands` does them, if needed."""

import argparse
from collections.abc import Callable
from typing import Any

from service.cli.operator_options import IF_YES, add_yes
from service.settings import Settings


def add_to(redis: argparse.ArgumentParser, read: Callable[[], Settings]) -> None:
    """Add actions to the command `redis`. `read` gives the settings when one is run."""

    def run(options: argparse.Namespace) -> int:
        from service.cli import redis_commands  # the other commands do without all that it needs

        return redis_commands.run(read(), options)

    actions: Any = redis.add_subparsers(title="actions", metavar="action", dest="action")
    claim = actions.add_parser(
        "claim",
        help="mark the feed in Redis as that of SERVICE_ISSUER, also where it is another's",
        description="Guards trust a feed that bears the mark of their issuer only. After "
        "SERVICE_ISSUER was changed on purpose, this replaces the mark of before. Guards that "
        "still have the issuer of before then count the feed as lost.",
    )
    add_yes(claim, IF_YES)
    claim.set_defaults(run=run)
    accept = actions.add_parser(
        "accept",
        help="do again what a Redis that has gone back in time has lost, and serve from it",
        description="With SERVICE_REDIS_ROLLBACK=refuse nobody is served from a Redis that has "
        "gone back in time until this is run. It ends again whatever has ended since then, and, "
        "where the journal in the user store lacks some of it, every session in that bucket.",
    )
    add_yes(accept, IF_YES)
    accept.set_defaults(run=run)
