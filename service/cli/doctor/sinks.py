"""Checks the sinks: whether each can be reached, how far behind it is, and who brings events on."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from service.cli.doctor.findings import Finding, fault, ok, warning
from service.embedded.client import server_url
from service.errors import StoreUnavailable
from service.events.event import ALL_STREAMS, read_entries, stream_of
from service.redis.client import RedisClient
from service.redis.node import Timing
from service.relying_parties.parties import RelyingParty
from service.settings import Settings
from service.sinks.files import STDOUT, FileSink
from service.sinks.posting import Lines, PostFailed
from service.sinks.receivers import Forbidden, receiver_at
from service.sinks.sql import SqlSink
from service.sinks.state import SinkState
from service.sinks.webhooks import webhook_name

_PART = "sinks"
_TIMING = Timing(timedelta(seconds=2), timedelta(seconds=5))
_LATE = timedelta(minutes=1)
"""How old an event may be that a sink has yet to get."""


class _Standing(msgspec.Struct):
    """How a sink stands, over all streams."""

    waiting: int = 0
    """Streams of which something has yet to arrive."""
    since: int | None = None
    """When the oldest of that happened, ms."""
    parked: int = 0
    unheld: int = 0
    holders: set[bytes] = msgspec.field(default_factory=set)
    now: int = 0


async def check_sinks(settings: Settings, parties: Sequence[RelyingParty] = ()) -> list[Finding]:
    """Look at each sink of the settings, and of the relying parties. Without any, say nothing.

    Nothing is sent to a receiver: it is only connected to. What its secrets are derived from is a
    key of the service, which the check of keys opens.
    """
    receivers = {webhook_name(url): url for url in settings.sink_webhooks}
    receivers |= {party.sink: party.backchannel_logout_uri for party in parties}
    if not (settings.sink_file or settings.sink_sql or receivers):
        return []
    redis = RedisClient(settings.redis_url or server_url(settings.data_dir), 0, _TIMING)
    names = [
        *([FileSink.name] if settings.sink_file else []),
        *([SqlSink.name] if settings.sink_sql else []),
        *receivers,
    ]
    try:
        reaches = await _reach(settings, receivers)
        standings = await asyncio.gather(*(_standing(redis, name) for name in names))
    except StoreUnavailable:  # Redis' own check tells
        return []
    finally:
        await redis.aclose()
    told = (_told(name, each) for name, each in zip(names, standings, strict=True))
    return [*reaches, *(finding for findings in told for finding in findings)]


async def _reach(settings: Settings, receivers: Mapping[str, str]) -> list[Finding]:
    """Find what cannot be written to, or connected to. `receivers`: URLs by the names of sinks."""
    found: list[Finding] = []
    if settings.sink_file:
        found += _file(Path(settings.sink_file))
    lines = [Lines(receiver_at(url), settings.sink_networks) for url in receivers.values()]
    reached = await asyncio.gather(*(each.of(0).reach() for each in lines), return_exceptions=True)
    for name, line, outcome in zip(receivers, lines, reached, strict=True):
        await line.aclose()
        if isinstance(outcome, Forbidden):
            advice = "see to its URL, or allow its network in SERVICE_SINK_NETWORKS"
            found.append(fault(_PART, f"{name} must not be called: {outcome}", advice))
        elif isinstance(outcome, PostFailed):
            advice = "see that it runs, and can be reached from here; events wait for it"
            found.append(fault(_PART, f"{name} cannot be reached: {outcome}", advice))
        elif outcome is not None:
            raise outcome
    return found


def _file(path: Path) -> list[Finding]:
    if str(path) == STDOUT or os.access(path if path.exists() else path.parent, os.W_OK):
        return []
    advice = f"see that {path.parent} is there, and that this user may write there"
    return [fault(_PART, f"SERVICE_SINK_FILE: {path} cannot be written to", advice)]


async def _standing(redis: RedisClient, name: str) -> _Standing:
    """Read how far a sink has got in all streams."""
    state, standing = SinkState(redis, name), _Standing()
    seconds, micros = await redis.execute("TIME")
    standing.now = int(seconds) * 1000 + int(micros) // 1000
    for bucket in ALL_STREAMS:
        progress, owner, until = await state.look(bucket)
        standing.parked += progress.parked
        if owner and until > standing.now:
            standing.holders.add(owner)
        else:
            standing.unheld += 1
        after = f"({progress.cursor}" if progress.cursor else "-"
        entries = await redis.execute("XRANGE", stream_of(bucket), after, "+", "COUNT", 1)
        for event in read_entries(bucket, entries):
            standing.waiting += 1
            since = standing.since
            standing.since = event.position.ms if since is None else min(since, event.position.ms)
    return standing


def _told(name: str, of: _Standing) -> list[Finding]:
    found: list[Finding] = []
    if of.parked:
        found.append(
            warning(
                _PART, f"{name}: {of.parked} events were parked, after too many failures",
                f"find them in the log, and run `openshow-auth events replay {name} --after ID`",
            )
        )  # fmt: skip
    if of.unheld:
        said = f"{name}: no process brings on {of.unheld} of {len(ALL_STREAMS)} streams"
        advice = "start the service with these settings; leases of a killed one end within 30 s"
        found.append((fault if of.waiting else warning)(_PART, said, advice))
    age = timedelta(milliseconds=of.now - (of.now if of.since is None else of.since))
    if age > _LATE:
        found.append(
            warning(
                _PART, f"{name} is {age.total_seconds():,.0f} s behind, in {of.waiting} streams",
                "see the log for `sink failed`, which says why",
            )
        )  # fmt: skip
    pods = "process brings" if len(of.holders) == 1 else "processes bring"
    return found or [ok(_PART, f"{name} has all events; {len(of.holders)} {pods} them on")]
