"""Carries out `openshow-auth guards`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from service.cli import account_texts as texts
from service.cli.retrying import tell_of_retry
from service.clock import system_clock, timestamp
from service.confirmations.guard_positions import GuardPositions
from service.confirmations.status import GuardStatus, GuardStatuses
from service.embedded.client import server_url
from service.errors import StartupError, StoreUnavailable
from service.redis.client import RedisClient
from service.settings import Settings

_EVERY = 1.0


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Carry it out and return the exit code.

    Raises:
        StartupError: it could not be done; the message says why.
    """
    try:
        return asyncio.run(_carry_out(settings, options))
    except KeyboardInterrupt:  # how watching ends
        return 0
    except StoreUnavailable as error:
        raise StartupError(str(error)) from None


async def _carry_out(settings: Settings, options: argparse.Namespace) -> int:
    redis = RedisClient(settings.redis_url or server_url(settings.data_dir))
    statuses = GuardStatuses(GuardPositions(redis), system_clock)
    try:
        while True:
            try:
                _show(await statuses.all(), as_json=options.json)
            except StoreUnavailable as error:
                if not options.watch:
                    raise
                tell_of_retry(error)
            if not options.watch or getattr(sys.stdout, "failed", False):
                return 0
            await asyncio.sleep(_EVERY)
    finally:
        await redis.aclose()


def _show(found: Sequence[GuardStatus], *, as_json: bool) -> None:
    if as_json:
        print(texts.json_line({"guards": [each.document() for each in found]}))
    else:
        print("\n".join(_lines(found)))
    sys.stdout.flush()


def _lines(found: Sequence[GuardStatus]) -> list[str]:
    if not found:
        return [f"{timestamp(system_clock())}  no guard has said anything in the last 15 s"]
    rows: list[tuple[str, ...]] = [
        ("POD", "GUARD", "MODE", "LAG", "BEHIND", "LAST SEEN", "FEED", "VERSION")
    ]
    rows += [_row(each) for each in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(each: GuardStatus) -> tuple[str, ...]:
    lost = f"lost since {timestamp(each.lost_since)}" if each.lost_since else "whole"
    return (
        texts.plain(each.pod),
        each.id,
        texts.plain(f"{each.mode}/{each.when_lost}"),
        f"{each.lag_ms / 1000:.1f} s",
        str(each.behind),
        timestamp(each.last_seen),
        lost,
        texts.plain(each.version or "-"),
    )
