"""Reads what Redis has of the feeds: the numbers of their last entries, and what they say."""

from collections.abc import Mapping, Sequence
from typing import Any

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.redis.every_bucket import values_of
from service.redis.keys import BUCKETS, numbered
from service.rollback.entries import Entry
from service.rollback.scripts import AT_ONCE, read

Numbers = Mapping[int, int]
"""The number of the last entry of feeds, by bucket; 0 of one that has had none."""

_KEYS = {bucket: numbered(bucket).revocations for bucket in range(BUCKETS)}
_FLOORS = {bucket: numbered(bucket).totp_floor for bucket in range(BUCKETS)}
_GETS = [("GET", key) for key in _KEYS.values()]


async def numbers_of(redis: RedisClient) -> Numbers:
    """Read the numbers of all buckets that a server has.

    Raises:
        StoreUnavailable: no server answers.
    """
    replies = await values_of(redis, _KEYS)
    return {bucket: number_in(reply) for bucket, reply in replies.items()}


async def floors_of(redis: RedisClient) -> Mapping[int, bool]:
    """Read which buckets that a server has have a floor of their TOTP steps.

    Raises:
        StoreUnavailable: no server answers.
    """
    replies = await values_of(redis, _FLOORS)
    return {bucket: reply is not None for bucket, reply in replies.items()}


async def numbers_on(connection: AbstractConnection) -> Numbers:
    """Read the numbers of the buckets that a server has, over a connection to it.

    Raises:
        redis.exceptions.ConnectionError, OSError
        redis.exceptions.ResponseError: it is loading its data, or has an error of its own.
    """
    replies = await replies_on(connection, _GETS)
    return {bucket: number_in(reply) for bucket, reply in replies.items()}


async def replies_on(
    connection: AbstractConnection, commands: Sequence[tuple[Argument, ...]]
) -> dict[int, Any]:
    """Send commands at once over a connection that nobody uses yet. Return the replies by place.

    There is none where the bucket is elsewhere in the cluster (`MOVED` is an `ASK`, too), or
    nowhere.

    Raises:
        redis.exceptions.ConnectionError, OSError
        redis.exceptions.ResponseError: one of them was refused, as by a node that has just started
            and tells of no bucket until it has met the others: it has not been looked at then.
    """
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    replies: dict[int, Any] = {}
    refusal: exceptions.ResponseError | None = None
    for place in range(len(commands)):
        try:
            replies[place] = await connection.read_response()
        except (exceptions.AskError, exceptions.TryAgainError):
            pass
        except exceptions.ResponseError as error:
            if not _is_nowhere(error):
                refusal = error
    if refusal is not None:
        raise refusal
    return replies


async def entries_after(redis: RedisClient, bucket: int, number: int, id_: str) -> list[Entry]:
    """Read the entries of a feed after the one with this number and id, oldest first.

    Raises:
        StoreUnavailable
    """
    found = await _pages(redis, bucket, f"({id_}" if id_ else "-", number)
    if not found and id_:  # ids may begin anew in a Redis that was emptied
        found = await _pages(redis, bucket, "-", number)
    return found[::-1]


async def _pages(redis: RedisClient, bucket: int, after: str, number: int) -> list[Entry]:
    """Read them newest first, in pages."""
    keys = numbered(bucket)
    found: list[Entry] = []
    before = "+"
    while True:
        page = await read(
            redis, revoked=keys.revoked, events=keys.events, after=after, before=before
        )
        entries = [entry for row in page if (entry := _entry(row)).number > number]
        found += entries
        if len(page) < AT_ONCE or len(entries) < len(page):
            return found
        before = f"({found[-1].id}"


def _entry(row: Any) -> Entry:
    id_, number, kind, user, subject, at = row
    return Entry(
        int(number),
        id_.decode(),
        kind.decode(),
        bytes.fromhex(user.decode()),
        subject,
        int(at or 0),
    )


def number_in(reply: bytes | None) -> int:
    """Read a number as Redis has it; 0 where there is none, or something else, as one that Lua
    cannot count on from."""
    number = int(reply) if reply and len(reply) <= 16 and reply.isdigit() else 0
    return number if number < 2**53 else 0


def _is_nowhere(error: exceptions.ResponseError) -> bool:
    """Tell whether no node of the cluster has the bucket, though the cluster serves others."""
    return isinstance(error, exceptions.ClusterDownError) and "not served" in str(error)
