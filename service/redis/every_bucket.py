"""Asks the same of many buckets: one message for each server that has some of them.

In a cluster a script may read keys of several slots that its server has, if only one of them is
declared (scripts without `#!lua` may, by Redis' documentation). So these scripts only read, and
declare the first. What cannot be told so, as a slot has moved or a server does not allow it, is
asked bucket by bucket.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError

from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.keys import TAGS
from service.redis.refusals import CommandRefused
from service.redis.scripts import Key, Script, script

Outcomes = dict[int, Any]
"""Outcomes by bucket. That of a bucket that could not be asked is a `StoreUnavailable`."""

_MAY_BE_ASKED_ALONE = ("cluster", "error")
"""Refusals after which each bucket is asked: any other would meet them all."""


@script(text="return redis.call('GET', key)", acknowledged=False, one_key=True)
def _get(*, key: Key) -> Any:
    """Read a value."""


@script(
    text="""
-- Outcome: the id of the newest entry
local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
return newest and newest[1] or '0-0'
""",
    acknowledged=False,
    one_key=True,
)
def _newest(*, stream: Key) -> Any:
    """Find the newest entry."""


async def ask_each(
    redis: RedisClient, question: Script[Any], keywords: Mapping[int, Mapping[str, Any]]
) -> Outcomes:
    """Run a script that only reads, with the `keywords` of each bucket."""
    together, alone = _by_server(redis, keywords)
    found = await asyncio.gather(
        _alone(redis, question, keywords, alone),
        *(_together(redis, question, keywords, some) for some in together),
    )
    return {bucket: outcome for some in found for bucket, outcome in some.items()}


async def values_of(redis: RedisClient, keys: Mapping[int, bytes]) -> dict[int, bytes | None]:
    """Read the value of a key of each bucket that a server has.

    Raises:
        StoreUnavailable: no server answers.
    """
    if redis.topology != "cluster" and not redis.fence.buckets.intersection(keys):
        return dict(zip(keys, await redis.execute("MGET", *keys.values()), strict=True))
    named = {bucket: {"key": key} for bucket, key in keys.items()}
    return answered(await ask_each(redis, _get, named))


async def newest_of(redis: RedisClient, streams: Mapping[int, bytes]) -> dict[int, bytes]:
    """Read the id of the newest entry of a stream of each bucket that a server has.

    `0-0`: it has none.

    Raises:
        StoreUnavailable: no server answers.
    """
    named = {bucket: {"stream": stream} for bucket, stream in streams.items()}
    return answered(await ask_each(redis, _newest, named))


def answered(outcomes: Outcomes) -> dict[int, Any]:
    """Return the outcomes of buckets that could be asked.

    Raises:
        StoreUnavailable: none could.
    """
    found = {
        bucket: outcome
        for bucket, outcome in outcomes.items()
        if not isinstance(outcome, StoreUnavailable)
    }
    if outcomes and not found:
        raise next(iter(outcomes.values()))
    return found


def _by_server(
    redis: RedisClient, buckets: Mapping[int, object]
) -> tuple[list[list[int]], list[int]]:
    """Part buckets into those of each server, and those that have to be asked alone."""
    groups: dict[object, list[int]] = {}
    alone = []
    for bucket in buckets:
        server = redis.server_of(TAGS[bucket]) if redis.topology == "cluster" else redis
        if server is None or bucket in redis.fence.buckets:
            alone.append(bucket)
        else:
            groups.setdefault(server, []).append(bucket)
    return list(groups.values()), alone


async def _together(
    redis: RedisClient,
    question: Script[Any],
    keywords: Mapping[int, Mapping[str, Any]],
    buckets: Sequence[int],
) -> Outcomes:
    """Ask a server for some buckets in one step, and then for each for which it has an error."""
    try:
        found = await question.run_together(redis, [keywords[bucket] for bucket in buckets])
    except StoreUnavailable as error:
        if isinstance(error, CommandRefused) and error.refusal in _MAY_BE_ASKED_ALONE:
            return await _alone(redis, question, keywords, buckets)
        return dict.fromkeys(buckets, error)
    outcomes = dict(zip(buckets, found, strict=True))
    failed = [bucket for bucket, found in outcomes.items() if isinstance(found, RedisError)]
    return outcomes | await _alone(redis, question, keywords, failed)


async def _alone(
    redis: RedisClient,
    question: Script[Any],
    keywords: Mapping[int, Mapping[str, Any]],
    buckets: Sequence[int],
) -> Outcomes:
    runs = (question(redis, **keywords[bucket]) for bucket in buckets)
    found = await asyncio.gather(*runs, return_exceptions=True)
    for outcome in found:
        if isinstance(outcome, BaseException) and not isinstance(outcome, StoreUnavailable):
            raise outcome
    return dict(zip(buckets, found, strict=True))
