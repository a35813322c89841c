"""Marks the feed as this issuer's, in all 64 buckets, and keeps the mark there.

A mark that names another issuer is left alone: guards of that issuer go by it. It is told in log
and readiness, and replaced on command only (`openshow-auth redis claim --yes`).

Where a feed has had fewer entries than it must have had, Redis has gone back in time, and guards
must not go by it: there the mark is away until what was lost has been done again.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec
import structlog

from service.errors import StoreRefuses, StoreUnavailable
from service.redis.bounded_gather import map_few_at_once
from service.redis.client import RedisClient
from service.redis.every_bucket import Outcomes, ask_each
from service.redis.keys import BUCKETS, numbered
from service.redis.scripts import Key, script

log = structlog.get_logger()

REASSERT_EVERY = 3.0
"""Seconds between two checks of all marks. A Redis that was emptied, or has failed over to a
replica that never had the mark, has none: guards count its feed as lost meanwhile."""

_FIRST_PATIENCE = 2.0
"""Seconds that a start waits for the marks. Without Redis it goes on, and marks later."""
_TOLD_EVERY = 60.0
_SHOWN = 200
_WRITTEN = {"none": (), "absent": (b"none",), "all": (b"none", b"foreign", b"malformed")}
"""By what is to be marked: whose marks are written anew, or for want of entries taken away."""


@script(
    text="""
-- Outcome: {whose mark was found: 'ours' · 'foreign' · 'malformed' · 'none', the issuer it names}
local found = redis.pcall('XREVRANGE', mark, '+', '-', 'COUNT', 2)
local whose, named = 'malformed', ''
if found.err and not found.err:find('WRONGTYPE', 1, true) then return found end
if not found.err and #found == 0 then
  whose = 'none'
elseif #found == 1 and #found[1][2] == 2 and found[1][2][1] == 'iss' then
  named = found[1][2][2]
  whose = named == issuer and 'ours' or 'foreign'
end
if (tonumber(redis.call('GET', revocations) or 0) or 0) < tonumber(least) then
  if whose == 'ours' and which ~= 'none' then redis.call('DEL', mark) end
  return {'none', ''}
end
if (whose == 'none' and which ~= 'none') or (whose ~= 'ours' and which == 'all') then
  redis.call('DEL', mark)
  redis.call('XADD', mark, '*', 'iss', issuer)
end
return {whose, named}
""",
    acknowledged=False,  # what is lost of it in a failover is soon written again
)
def _mark(*, mark: Key, revocations: Key, issuer: str, which: str, least: int) -> Any:
    """Mark a bucket as ours, unless its feed has had fewer entries than `least`.

    `which`: `none`, only look; `absent`; or `all` that are not ours.
    """


class Mark(msgspec.Struct, frozen=True):
    """The mark that was found in a bucket, before it was marked."""

    whose: Literal["ours", "foreign", "malformed", "none"]
    issuer: str = ""


def _nothing() -> Sequence[int]:
    """Tell that no feed need have had any entry."""
    return (0,) * BUCKETS


class FeedMarking:
    """Writes the marks at the start, and again wherever they are gone later."""

    def __init__(
        self, redis: RedisClient, issuer: str, least: Callable[[], Sequence[int]] = _nothing
    ) -> None:
        """Send nothing yet.

        `least` tells how many entries the feed of each bucket must have had. Where it can tell
        more than that none, `redis` must not be fenced.
        """
        self._redis = redis
        self._issuer = issuer
        self._least = least
        self._woken = asyncio.Event()
        self._logged: tuple[str, float] = ("", float("-inf"))
        self.problem = ""
        """What is wrong with the mark, in a sentence; empty when nothing is, or Redis is away."""

    async def start(self) -> None:
        """Mark what is not marked, if Redis answers soon. Never raises."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_PATIENCE):
                await self._look()

    async def run(self) -> None:
        """Mark again what is not marked any more, until it is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REASSERT_EVERY):
                    await self._woken.wait()
            self._woken.clear()
            await self._look()

    def wake(self) -> None:
        """Look soon: what `least` tells has changed, or what a feed has."""
        self._woken.set()

    async def mark(self, which: Literal["none", "absent", "all"] = "absent") -> list[Mark]:
        """Write marks, and tell what was found in each bucket before.

        `which`: `absent` leaves those that are not ours as they are, `all` replaces them.

        Raises:
            StoreUnavailable: Redis does not answer for all of them. Others may be marked.
            redis.exceptions.ResponseError: it refuses.
        """
        least = self._least()
        named = {number: self._named(number, least[number]) for number in range(BUCKETS)}
        looks = {number: each | {"which": "none"} for number, each in named.items()}
        found = await ask_each(self._redis, _mark, looks)
        written = _WRITTEN[which]
        wrong = {
            number: named[number]
            for number, each in found.items()
            if not isinstance(each, BaseException) and each[0] in written
        }
        found |= await self._write(wrong, which)
        for outcome in found.values():
            if isinstance(outcome, BaseException):
                raise outcome
        return [
            Mark(whose.decode(), issuer.decode("utf-8", "replace"))
            for whose, issuer in (found[number] for number in range(BUCKETS))
        ]

    async def _write(self, named: Mapping[int, Mapping[str, Any]], which: str) -> Outcomes:
        async def one(keywords: Mapping[str, Any]) -> Any:
            try:
                return await _mark(self._redis, **keywords, which=which)
            except Exception as error:  # the caller's, once all others are done
                return error

        written = await map_few_at_once(one, named.values())
        return dict(zip(named, written, strict=True))

    def _named(self, number: int, least: int) -> dict[str, Any]:
        names = numbered(number)
        return {
            "mark": names.issuer,
            "revocations": names.revocations,
            "issuer": self._issuer,
            "least": least,
        }

    async def _look(self) -> None:
        try:
            self.problem = problem_of(await self.mark(), self._issuer)
        except StoreRefuses as refusal:  # `foreign`: the link refuses to follow to such a server
            self.problem = f"{refusal}." if refusal.refusal == "foreign" else self.problem
            self._log_change(self.problem)
        except StoreUnavailable:
            pass  # readiness tells that Redis is away
        except Exception as error:  # a defect or a refusal must not end the task
            self._log_change(f"the feed cannot be marked: {type(error).__name__}")
        else:
            self._log_change(self.problem)

    def _log_change(self, problem: str) -> None:
        """Log a problem when it is new, and once a minute while it lasts."""
        before, at = self._logged
        if problem and (problem != before or time.monotonic() - at >= _TOLD_EVERY):
            log.error("feed mark", problem=problem)
            self._logged = problem, time.monotonic()
        elif not problem:
            self._logged = "", float("-inf")


def problem_of(marks: Sequence[Mark], issuer: str) -> str:
    """Say in a sentence what is wrong with the marks that were found; empty: nothing."""
    wrong = [mark for mark in marks if mark.whose in ("foreign", "malformed")]
    if not wrong:
        return ""
    whose = f"of the issuer {shown(wrong[0].issuer)}" if wrong[0].issuer else "of nobody"
    return (
        f"The feed in this Redis is {whose}, and SERVICE_ISSUER is {shown(issuer)}: guards do not "
        "trust it. Correct the setting, or `openshow-auth redis claim --yes` makes it ours."
    )


def shown(text: str) -> str:
    """Quote a text that may come from anywhere, for a log or an answer: printable and not long."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
