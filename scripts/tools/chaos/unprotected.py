"""The service without one of its protections, for the controls; never for use."""

import asyncio
import os
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import msgspec
from sqlalchemy import Update

from service.accounts import account_changes, row_memory, users as accounts
from service.accounts.row_memory import RowMemory
from service.database.tables import users
from service.errors import StoreUnavailable
from service.events.event import AuditEvent
from service.line_writer import Writer
from service.readiness import checks
from service.redis.client import RedisClient
from service.redis.cluster import Cluster
from service.redis.connection import Argument
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.sinks.shipper import Shipper
from service.sinks.stream import Stream

_TIMES = 10


def _send_again() -> None:
    """Send a command without a reply again, as redis-py does by default."""
    once = RedisClient._execute

    async def again_and_again(
        redis_client: RedisClient, command: tuple[Argument, ...], changing: bool
    ) -> Any:
        for _ in range(_TIMES):
            try:
                return await once(redis_client, command, changing)
            except StoreUnavailable:
                await asyncio.sleep(0.01)
        return await once(redis_client, command, changing)

    RedisClient._execute = again_and_again  # type: ignore[assignment,method-assign]


def _read_the_map_once() -> None:
    """Go by the first map of the cluster for good, but for what a node says has moved."""
    read = Cluster._read_map

    async def read_once(cluster: Cluster) -> None:
        if None in cluster._primaries:
            await read(cluster)

    Cluster._read_map = read_once  # type: ignore[assignment,method-assign]


def _wait_for_the_log() -> None:
    """Write as Python does: when the pipe is full, until somebody reads."""

    def write(writer: Writer, lines: bytes) -> None:
        while lines:
            lines = lines[os.write(writer._descriptor, lines) :]

    Writer.put = write  # type: ignore[assignment,method-assign]


def _remember_rows() -> None:
    """Never ask the user store whether a row in memory still is what it has."""

    async def never(_: accounts.Users) -> None:
        pass

    row_memory._GOOD_FOR = inf
    RowMemory.doubt = lambda _: None  # type: ignore[assignment,method-assign]
    accounts.Users.look = never  # type: ignore[assignment,method-assign]
    accounts.Users.confirm = never  # type: ignore[assignment,method-assign]


def _take_any_clock() -> None:
    """Be ready whatever the time is."""
    checks.CLOCK_LIMIT = inf


def _leave_older_sessions() -> None:
    """Change rows without saying from which version on sessions count, and be killed, as it were,
    before the last step of each change, which ends them in Redis."""
    end_all = CutOffs.end_all

    async def publish_alone(
        cut_offs: CutOffs, user_id: bytes, origin: RequestOrigin, **change: Any
    ) -> int:
        if change.get("row_version") is None:
            return await end_all(cut_offs, user_id, origin, **change)
        await cut_offs.call_off(user_id, origin)
        return 0

    CutOffs.end_all = publish_alone  # type: ignore[assignment,method-assign]
    for name in ("_SET_PASSWORD", "_DISABLE"):
        statement: Update = getattr(account_changes, name)
        as_before = statement.values(sessions_from=users.c.sessions_from)
        setattr(account_changes, name, as_before)


def _note_before_delivery() -> None:
    """Note of events that they have arrived, and deliver them then."""
    deliver = Shipper._deliver

    async def noted_first(shipper: Shipper, stream: Stream, events: list[AuditEvent]) -> bool:
        assert stream.progress  # noqa: S101  of a lease that is held
        last = events[-1].position.entry
        noted = msgspec.structs.replace(stream.progress, cursor=last)
        await shipper._state.note(stream.bucket, noted)
        return await deliver(shipper, stream, events)

    Shipper._deliver = noted_first  # type: ignore[assignment,method-assign]


def _trust_any_redis() -> None:
    """Serve from a Redis that has gone back in time as if it had not."""
    os.environ["SERVICE_REDIS_ROLLBACK"] = "off"


PROTECTIONS: Mapping[str, Callable[[], None]] = {
    "redis-retries": _send_again,
    "old-map": _read_the_map_once,
    "blocking-log": _wait_for_the_log,
    "old-rows": _remember_rows,
    "any-clock": _take_any_clock,
    "no-sessions-from": _leave_older_sessions,
    "no-fence": _trust_any_redis,
    "noted-first": _note_before_delivery,
}
"""What takes each away, by the name of the control."""
