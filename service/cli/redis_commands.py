"""The commands `openshow-auth redis claim`, whose feed this Redis holds, and making it ours; and
`redis accept`: serving again from one that has gone back in time."""

import argparse
import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redis.exceptions import RedisError

from service.embedded.client import server_url
from service.errors import StartupError, StoreUnavailable
from service.redis.client import RedisClient
from service.redis.feed_marking import FeedMarking, Mark, shown
from service.settings import Settings


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run an action, and return its exit code.

    Raises:
        StartupError: a store is away; says that nothing is certain.
    """
    act = _claim if options.action == "claim" else _accept
    return asyncio.run(act(settings, yes=options.yes))


@contextmanager
def _or_uncertain() -> Iterator[None]:
    """Say what to do where a store is away."""
    try:
        yield
    except (StoreUnavailable, RedisError) as error:
        raise StartupError(f"nothing is certain: {error}; run it again") from None


async def _claim(settings: Settings, *, yes: bool) -> int:
    redis = RedisClient(
        settings.redis_url or server_url(settings.data_dir), settings.redis_min_replicas
    )
    marking = FeedMarking(redis, settings.issuer)
    try:
        with _or_uncertain():
            found = await marking.mark("all" if yes else "none")
    finally:
        await redis.aclose()
    for line in describe(found, settings.issuer, yes=yes):
        print(line)
    return 0


async def _accept(settings: Settings, *, yes: bool) -> int:
    # All that a process stands on: other commands do without.
    from service.composition.rollback import create_acceptance

    acceptance = create_acceptance(settings, settings.redis_url or server_url(settings.data_dir))
    try:
        with _or_uncertain():
            lost = await acceptance.lost()
        for line in lost.told():
            print(line)
        if not lost.buckets:
            return 0
        if not yes:
            print("Nothing was changed; with --yes it is done again, and served.")
            return 0
        with _or_uncertain():
            done = await acceptance.accept(lost)
        for line in done:
            print(line)
    finally:
        await acceptance.aclose()
    return 0


def describe(found: Sequence[Mark], issuer: str, *, yes: bool) -> list[str]:
    """Say in lines which marks were found, and what was done about them or would be."""
    whose = Counter(_whose(mark) for mark in found if mark.whose != "ours")
    lines = [f"{number} of {len(found)} buckets bear {mark}." for mark, number in whose.items()]
    if not whose:
        return [f"The feed bears the mark of {shown(issuer)} already."]
    verb = "They are marked" if yes else "Nothing was changed; with --yes they are marked"
    return [*lines, f"{verb} as the feed of {shown(issuer)}."]


def _whose(mark: Mark) -> str:
    names = {"none": "no mark", "malformed": "a mark that cannot be read"}
    return names.get(mark.whose) or f"the mark of {shown(mark.issuer)}"
