"""Runs with sinks on: what becomes of each event, whatever happens to pods, Redis and receivers.

Whatever Redis has in the end has arrived in the file, in the table and at the receiver, but for
what the receiver has dropped itself; that comes when it is replayed. Of each stream, and so of each
user, events arrive for the first time in their order. Copies verify.
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from service.events.event import ALL_STREAMS, stream_of
from service.redis.client import RedisClient
from service.redis.node import Timing
from service.settings import Secret
from service.sinks.state import SinkState
from service.sinks.webhooks import webhook_name
from tools.chaos.evidence import Violation
from tools.chaos.receiver import BAD, Mood, Receiver, receiving
from tools.chaos.schedule import Planned
from tools.chaos.stage import Stage
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.waiting import eventually

LEFT_OUT = frozenset({"restore the user store"})
"""A restored user store has the table `audit` of the backup: what came after is not in it."""

_PATIENCE = 90.0
"""Seconds in which all must have arrived once all is healed."""


class Sinks:
    """The copies of a stage."""

    def __init__(self, receiver: Receiver, directory: Path) -> None:
        self.receiver = receiver
        self._file = directory / "events.jsonl"
        self.settings = {
            "SERVICE_SINK_FILE": str(self._file),
            "SERVICE_SINK_SQL": "on",
            "SERVICE_SINK_WEBHOOKS": receiver.url,
            "SERVICE_SINK_NETWORKS": "127.0.0.0/8",
            "CHAOS_HURRY": "on",
        }
        self.webhook = webhook_name(receiver.url)

    async def begun(self, stage: Stage) -> None:
        """Wait until each stream is brought on to each sink: webhooks begin with what comes."""
        redis = patient_client(stage.redis.url)
        states = [SinkState(redis, name) for name in ("file", "sql", self.webhook)]

        async def all_held() -> bool:
            progress = [await state.read(each) for state in states for each in ALL_STREAMS]
            return all(each.cursor for each in progress)

        await eventually(all_held, _PATIENCE)
        await redis.aclose()

    async def live(self, plan: Sequence[tuple[float, Mood]]) -> None:
        """Have the receiver go through its moods, and be good in the end."""
        try:
            for seconds, mood in plan:
                self.receiver.mood = mood
                await asyncio.sleep(seconds)
        finally:
            self.receiver.mood = "good"

    async def check(
        self, redis: RedisClient, environment: Mapping[str, str], *, went_back: bool
    ) -> list[Violation]:
        """Find what is lost, out of order, or does not verify.

        A Redis that `went_back` knows no more what it has copied since, and copies that again, in
        another chain: `events verify` names it, and it is behind what came after it.
        """
        wanted = await _ids(redis)
        found = [_broken("followed a redirect")] if self.receiver.trapped else []
        found += await self._lost(redis, wanted)
        if went_back:
            return found
        found += self._disorder()
        parked = sum(
            [(await SinkState(redis, self.webhook).read(each)).parked for each in ALL_STREAMS]
        )
        if parked:
            found.append(_broken(f"{parked} events were parked"))
        for files in ((str(self._file),), ()):
            code, said = await _command(environment, "events", "verify", *files, "--json")
            if code:
                what = json.loads(said)["faults"][:3] if said.startswith("{") else said[-500:]
                found.append(_broken(f"{files or 'the table'} does not verify: {what}"))
        return found or await self._replay(redis, environment)

    async def _lost(self, redis: RedisClient, wanted: Mapping[int, list[str]]) -> list[Violation]:
        """Wait until all has arrived."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        missing: list[str] = []
        while asyncio.get_running_loop().time() < deadline:
            missing = await self._missing(redis, wanted)
            if not missing:
                return []
            await asyncio.sleep(0.3)
        return [_broken(f"{len(missing)} have not arrived, such as {missing[0]}")]

    async def _missing(self, redis: RedisClient, wanted: Mapping[int, list[str]]) -> list[str]:
        there = {*self.receiver.arrived} | self.receiver.lied
        missing = [
            f"{each} (webhook)" for ids in wanted.values() for each in ids if each not in there
        ]
        for name in ("file", "sql"):
            state = SinkState(redis, name)
            for bucket, ids in wanted.items():
                cursor = (await state.read(bucket)).cursor or "0-0"  # emptied, and not begun anew
                if ids and _place(f"{bucket:02x}-{cursor}") < _place(ids[-1]):
                    missing.append(f"{ids[-1]} ({name})")
        return missing

    def _disorder(self) -> list[Violation]:
        """Look for events that arrived for the first time behind a later one of their stream."""
        last: dict[str, tuple[int, int]] = {}
        seen: set[str] = set()
        for each in self.receiver.arrived:
            bucket, place = each[:2], _place(each)
            if each in seen or each in self.receiver.lied:
                continue
            seen.add(each)
            if place < last.get(bucket, (0, 0)):
                return [_broken(f"{each} arrived behind {bucket}-{last[bucket]}")]
            last[bucket] = place
        return []

    async def _replay(self, redis: RedisClient, environment: Mapping[str, str]) -> list[Violation]:
        """Have what the receiver has lied about come again, as somebody does who has noticed."""
        lied = self.receiver.lied - {*self.receiver.arrived}
        if not lied:
            return []
        first = min(lied, key=_place)
        after = f"00-{max(_place(first)[0] - 1, 0)}-0"
        code, said = await _command(
            environment, "events", "replay", self.webhook, "--after", after, "--yes"
        )
        if code:
            return [_broken(f"replay failed: {said[-500:]}")]
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while left := lied - {*self.receiver.arrived}:
            if asyncio.get_running_loop().time() > deadline:
                return [_broken(f"{len(left)} did not come again, such as {min(left)}")]
            await asyncio.sleep(0.3)
        return []


def patient_client(url: Secret) -> RedisClient:
    """Make one whose calls a busy machine does not end: that Redis is healed has been seen."""
    patience = timedelta(seconds=_PATIENCE)
    return RedisClient(url, timing=Timing(patience, patience))


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Sinks]:
    """Have a receiver until the end of the block."""
    async with receiving() as receiver:
        yield Sinks(receiver, directory)


def plan(seed: int, seconds: float) -> list[tuple[float, Mood]]:
    """Choose the receiver's moods, by the seed: one in six runs it is down for all of it."""
    chance = random.Random(f"sinks {seed}")
    if chance.random() < 1 / 6:
        return [(seconds, "down")]
    moods: list[tuple[float, Mood]] = []
    left = seconds
    while left > 0:
        lasts = min(left, chance.uniform(0.3, 2.0))
        moods.append((round(lasts, 2), chance.choice(("good", *BAD))))
        left -= lasts
    return moods


def without_restores(planned: Sequence[Planned]) -> list[Planned]:
    """Leave out what this cannot be judged under."""
    return [each for each in planned if each.kind not in LEFT_OUT]


async def _ids(redis: RedisClient) -> dict[int, list[str]]:
    """Read the ids of all events, in order."""
    found: dict[int, list[str]] = {}
    for bucket in ALL_STREAMS:
        reply = await redis.execute("XRANGE", stream_of(bucket), "-", "+")
        found[bucket] = [f"{bucket:02x}-{entry.decode()}" for entry, _ in reply]
    return found


def _place(event: str) -> tuple[int, int]:
    _, ms, counter = event.split("-")
    return int(ms), int(counter)


def _broken(says: str) -> Violation:
    return Violation("copies of events", says, "", ())


async def _command(environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run a command. Return its exit code, and what it has said."""
    ours = {name: value for name, value in os.environ.items() if name[:8] != "SERVICE_"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", *arguments,
        cwd=REPOSITORY, env={**ours, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
