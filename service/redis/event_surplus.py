"""Finds what goes first from a stream of events that is nearly full: of whoever has written most.

Scripts make room in a stream that is full, from a sample of it: they cannot read all of it. Whoever
has filled it and rests would be in no sample, and whoever writes then would pay for it. So the
stream is read whole before it is full, and those who have most of it are brought down to the same
number, their newest events first: nobody gets rid of what he did before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.redis.client import RedisClient

NEARLY_FULL = 7 / 8
_ROOM = 3 / 4
"""Of the most events: how full a stream is when it is looked at, and how full it is left."""

_STANDS_OUT = 1 / 32
"""Of the most events: whoever has fewer loses none here. Of many people the oldest go."""

_PAGE = 1_000
_LOOKED_AT = 200_000
"""Events that are looked at, from the newest on."""

_TRIES = frozenset(
    {
        b"user.passwordFailed",
        b"user.loginRefused",
        b"user.limitReached",
        b"twoFA.codeFailed",
        b"twoFA.challengeFailed",
    }
)
"""What strangers can bring about at an account: of its events these go first."""

Entry = tuple[bytes, bytes, bytes]
"""The id of an event, its type, and its user in hex."""


async def make_room(redis: RedisClient, stream: bytes, most: int) -> int:
    """Drop what those have too much who have most of a stream. Tell how many events went."""
    chosen = surplus(await _read(redis, stream), most)
    dropped = 0
    for start in range(0, len(chosen), _PAGE):
        dropped += await redis.execute("XDEL", stream, *chosen[start : start + _PAGE])
    return dropped


def surplus(entries: Iterable[Entry], most: int) -> list[bytes]:
    """Choose what goes of a stream, given newest first, so that a quarter of it is free."""
    ids: Mapping[bytes, tuple[list[bytes], list[bytes]]] = defaultdict(lambda: ([], []))
    total = 0
    for entry, kind, user in entries:
        total += 1
        if user:  # operators' acts are nobody's
            ids[user][kind not in _TRIES].append(entry)
    counts = [len(tries) + len(changes) for tries, changes in ids.values()]
    level = _level(counts, total - int(most * _ROOM), int(most * _STANDS_OUT))
    return [
        entry
        for tries, changes in ids.values()
        for entry in (tries + changes)[: max(0, len(tries) + len(changes) - level)]
    ]


def _level(counts: Sequence[int], wanted: int, least: int) -> int:
    """Find to how many each is brought down so that `wanted` go, or as many as may be."""
    low, high = least, max(counts, default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(max(0, count - middle) for count in counts) >= wanted:
            low = middle
        else:
            high = middle - 1
    return max(low, least)


async def _read(redis: RedisClient, stream: bytes) -> list[Entry]:
    found: list[Entry] = []
    before = b"+"
    while len(found) < _LOOKED_AT:
        reply: Any = await redis.execute("XREVRANGE", stream, before, "-", "COUNT", _PAGE)
        found += [(entry, fields[1], fields[3]) for entry, fields in reply]
        if len(reply) < _PAGE:
            break
        before = b"(" + reply[-1][0]
    return found
