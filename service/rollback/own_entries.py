"""Looks whether the last entries that this process has answered for are in the feeds still.

For a second it may be the only one that knows an entry. Where Redis loses that, and others end
sessions before this process compares, the entry's number is there again, given anew: by the number
alone nobody would notice.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.redis.client import RedisClient
from service.redis.fence import Fence
from service.redis.keys import numbered
from service.redis.node import Node
from service.rollback.reading import number_in, replies_on
from service.sessions.refresh_tokens import SESSION_ID

BEYOND = 8
"""Numbers that may be given in a bucket until all know that it has lost some."""

_LOOKED_AT = 1_000
"""Entries that others may have added. Of more it is not looked for."""

_FIND = """
local entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])
local first = entries[#entries]
if not first then return {} end
-- A cut-off of everybody since has ended whatever was lost.
for _, entry in ipairs(entries) do
  if entry[2][3] == 'g' then return {} end
end
local at, of, user = first[1]:match('^%d+'), first[2], ''
-- The event about the end of one session stands in the same millisecond (read.lua).
if of[3] == 's' then
  local session = string.format(string.rep('%02x', #of[4]), of[4]:byte(1, -1))
  for _, event in ipairs(redis.call('XREVRANGE', KEYS[2], at, at)) do
    if event[2][9] == 'session' and event[2][10] == session then user = event[2][4] end
  end
end
return {of[2], of[3], of[4], user}
"""


class _Question(NamedTuple):
    """What is asked of a bucket: the entry with this number, which has ended this."""

    bucket: int
    number: int
    ended: bytes
    command: tuple[str, str, int, bytes, bytes, int]


class OwnEntries:
    """Compares them, and tells what to expect of buckets that lack one: more than they have.

    The process goes on to expect that, and tells the others.
    """

    def __init__(self, fence: Fence) -> None:
        self._fence = fence

    async def look_on(
        self, connection: AbstractConnection, numbers: Mapping[int, int]
    ) -> dict[int, int]:
        """Look at the feeds with these `numbers`, over a connection to their server.

        Raises:
            redis.exceptions.RedisError, OSError: it does not tell.
        """
        questions = self._questions(numbers)
        replies = await replies_on(connection, [question.command for question in questions])
        found = [(questions[place], reply) for place, reply in replies.items()]
        return self._lost(found, numbers)

    async def look_at(self, node: Node, numbers: Mapping[int, int]) -> dict[int, int]:
        """Do the same at a server that is connected to. Never raises."""
        found = []

        async def look(question: _Question) -> None:
            with suppress(exceptions.RedisError, OSError):  # who serves it meets the same
                found.append((question, await node.ask(question.command, False)))

        await asyncio.gather(*map(look, self._questions(numbers)))
        return self._lost(found, numbers)

    async def look_by(self, redis: RedisClient, numbers: Mapping[int, int]) -> dict[int, int]:
        """Do the same in buckets that have caught up, before they are served again.

        Raises:
            StoreUnavailable: Redis does not tell.
        """
        questions = self._questions(numbers)
        asked = (redis.execute(*question.command) for question in questions)
        replies = await asyncio.gather(*asked)
        return self._lost(list(zip(questions, replies, strict=True)), numbers)

    def _questions(self, numbers: Mapping[int, int]) -> list[_Question]:
        """Ask for the entry that has the number of our last one, where there must be one."""
        questions = []
        for bucket, has in numbers.items():
            number, ended = self._fence.answered[bucket], self._fence.ended[bucket]
            if ended and 0 <= has - number < _LOOKED_AT:
                keys = numbered(bucket)
                command = ("EVAL", _FIND, 2, keys.revoked, keys.events, has - number + 1)
                questions.append(_Question(bucket, number, ended, command))
        return questions

    def _lost(
        self, found: Sequence[tuple[_Question, Sequence[Any]]], numbers: Mapping[int, int]
    ) -> dict[int, int]:
        lost = {
            question.bucket: numbers[question.bucket] + BEYOND
            for question, entry in found
            if is_another(question.number, question.ended, entry)
        }
        for bucket, number in lost.items():
            self._fence.answered[bucket], self._fence.ended[bucket] = number, b""
        return lost


def is_another(number: int, ended: bytes, found: Sequence[Any]) -> bool:
    """Tell whether an entry that was found by its place is another than ours of this number.

    `ended`: the session that ours has ended, or the user. `found`: number, kind and subject, and of
    the end of a session its user, in hex; empty if not known.
    """
    if len(found) < 4 or number_in(found[0]) != number:
        return False  # it was trimmed
    kind, subject, user = found[1:]
    if kind == b"s" and len(ended) != SESSION_ID:  # sessions of a user, each with an entry
        return bool(user) and user != ended.hex().encode()
    return kind in (b"s", b"u") and subject != ended
