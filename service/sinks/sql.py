"""The sink that inserts events into the table `audit` of the user store, batches beside them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.database.engine import insert_of, store_errors
from service.database.tables import audit, audit_batches
from service.errors import StoreUnavailable
from service.events.event import AuditEvent
from service.sinks.batch import Batch, BatchHead, line_of
from service.sinks.sink import Retries, SinkFailed


class SqlSink:
    """Inserts each batch in one transaction; what is there already stays as it is."""

    name = "sql"
    starts_behind = "0-0"
    at_once = 200
    retries = Retries(timedelta(seconds=1), timedelta(minutes=1))

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # SQLite writes one at a time, and who waits for it has no turn: of 64 streams at once some
        # would wait for seconds, and with them sign-ups, and whoever has to end sessions again.
        self._turn = asyncio.Semaphore(1 if engine.dialect.name == "sqlite" else 64)

    async def deliver(self, batch: Batch, seconds: float) -> int:
        """Insert it whole."""
        head = batch.head
        rows = [_row(event) for event in batch.events]
        beside = {
            "bucket": head.bucket,
            "number": head.batch,
            "digest": batch.digest,
            "before": batch.before,
            "first": head.first,
            "last": head.last,
            "count": head.count,
            "kid": head.kid,
            "signature": head.signature,
        }
        try:
            async with asyncio.timeout(seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise SinkFailed("the user store is busy with other streams") from None
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await _insert(connection, audit, rows)
                    await _insert(connection, audit_batches, [beside])
        except StoreUnavailable as error:
            raise SinkFailed(str(error)) from None
        finally:
            self._turn.release()
        return len(batch.events)

    async def aclose(self) -> None:
        """Let go of nothing: the engine is that of the process."""


async def batches_of(engine: AsyncEngine, bucket: int) -> list[bytes]:
    """Read the copy of a stream as lines, each batch behind its events."""
    mine = audit.c.bucket == bucket
    place = audit.c.at, audit.c.counter
    with store_errors():
        async with engine.connect() as connection:
            rows = select(audit.c.id, audit.c.document).where(mine).order_by(*place)
            events = [(row.id, row.document.encode()) for row in await connection.execute(rows)]
            heads = select(audit_batches).where(audit_batches.c.bucket == bucket)
            batches = [*await connection.execute(heads.order_by(audit_batches.c.number))]
    places = {event_id: at for at, (event_id, _) in enumerate(events)}
    lines: list[bytes] = []
    used: set[int] = set()
    for row in batches:
        first, last = places.get(row.first, 0), places.get(row.last, -1)
        used.update(range(first, last + 1))
        lines += [document for _, document in events[first : last + 1]]
        lines.append(msgspec.json.encode(_head(row)))
    return lines + [document for at, (_, document) in enumerate(events) if at not in used]


def _head(row: Any) -> BatchHead:
    return BatchHead(
        row.number,
        row.bucket,
        row.first,
        row.last,
        row.count,
        row.before.hex(),
        row.digest.hex(),
        row.kid,
        row.signature,
    )


def _row(event: AuditEvent) -> dict[str, Any]:
    ms, counter, bucket = event.position
    return {
        "id": event.id,
        "bucket": bucket,
        "at": ms,
        "counter": counter,
        "type": event.type,
        "user": event.user,
        "document": line_of(event).decode(),
    }


async def _insert(
    connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]
) -> None:
    statement = insert_of(connection.dialect.name)(table).on_conflict_do_nothing()
    await connection.execute(statement, list(rows))
