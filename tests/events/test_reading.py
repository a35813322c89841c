"""Reading audit events as a Redis user who may do nothing else: pages, filters, what is new."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.errors import InvalidField, Overloaded, StoreUnavailable
from service.events import reading
from service.events.event import AuditEvent, Position
from service.events.reading import EventFilter, EventPage, EventReader
from service.redis.client import RedisClient
from service.redis.keys import bucket
from tests.events.conftest import write
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

USERS = [bytes([number]) + bytes(15) for number in range(64)]
"""One in each bucket."""


def fill(server: RedisServer, number: int) -> list[str]:
    """Write events of random users at few moments, so that many share one. Return ids in order."""
    written: list[Position] = []
    counters: dict[tuple[int, int], int] = {}
    with server.client() as client, client.pipeline() as pipeline:
        for at in sorted(random.choices(range(1, number // 8), k=number)):
            user = random.choice(USERS)
            counter = counters[user[0], at] = counters.get((user[0], at), -1) + 1
            fields = {"type": f"t{counter}", "user": user.hex(), "ip": "", "request": ""}
            pipeline.xadd(bucket(user).events, fields, id=f"{at}-{counter}")
            written.append(Position(at, counter, user[0]))
        pipeline.execute()
    return [str(position) for position in sorted(written, reverse=True)]


async def pages(reader: EventReader, limit: int, **wanted: object) -> list[str]:
    """All ids, page by page; each page but the last is full, or says that more follows."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = await reader.page(after=after, limit=limit, **wanted)  # type: ignore[arg-type]
        found += [event.id for event in page.events]
        after = page.next
        if after is None:
            return found


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
async def test_pages_have_all_in_order_and_none_twice(
    keys: RedisServer, as_reader: RedisClient, limit: int
) -> None:
    """Over all streams, many events of one millisecond among them, whatever the size of a page."""
    number = {1: 20, 7: 150}.get(limit, 1_200)
    ids = fill(keys, number)
    assert await pages(EventReader(as_reader), limit) == ids


async def test_what_is_written_meanwhile_shifts_nothing(
    keys: RedisServer, as_reader: RedisClient
) -> None:
    """Pages go on behind an event, not at a number of events."""
    ids = fill(keys, 300)
    reader = EventReader(as_reader)
    first = await reader.page(limit=100)
    for user in USERS:
        write(keys, user, "new")
    second = await reader.page(limit=200, after=first.next)
    assert [event.id for event in (*first.events, *second.events)] == ids
    assert second.next is None


async def test_of_a_user_and_of_a_type(keys: RedisServer, as_reader: RedisClient) -> None:
    """Others of the same stream, of whatever type, are left out."""
    ann, bob = b"\x05" + bytes(15), b"\x45" + bytes(15)
    mine = [write(keys, ann, f"type{number % 3}") for number in range(9)]
    theirs = [write(keys, bob, "type1") for _ in range(5)]
    reader = EventReader(as_reader)
    assert await pages(reader, 4, user=ann) == mine[::-1]
    assert await pages(reader, 4, user=ann, type="type1") == mine[1::3][::-1]
    assert await pages(reader, 4, type="type1") == theirs[::-1] + mine[1::3][::-1]
    assert await pages(reader, 4, user=ann, type="other") == []


async def test_a_page_looks_at_a_bounded_number(
    keys: RedisServer, as_reader: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is short, and says where to go on; the whole is found all the same."""
    monkeypatch.setattr(reading, "_LOOKED_AT", 50)
    wanted = write(keys, USERS[3], "rare", "1-0")
    for _ in range(120):
        write(keys, USERS[3], "usual")
    reader = EventReader(as_reader)
    page = await reader.page(type="rare")
    assert page.events == []
    assert page.next is not None
    assert await pages(reader, 10, type="rare") == [wanted]


async def test_many_pages_at_once(keys: RedisServer, as_reader: RedisClient) -> None:
    """They leave room on the connection to Redis for all else; who waits long is told to."""
    ids = fill(keys, 100)
    reader = EventReader(as_reader)
    pages = await asyncio.gather(*(reader.page() for _ in range(200)), return_exceptions=True)
    found = [page for page in pages if isinstance(page, EventPage)]
    assert {type(page) for page in pages} <= {EventPage, Overloaded}
    assert found
    assert all([event.id for event in page.events] == ids for page in found)


async def test_an_event_whole(keys: RedisServer, as_reader: RedisClient) -> None:
    """Id, time and all fields."""
    write(keys, USERS[0x1F], "user.loggedIn", "1764142842123-7")
    [event] = (await EventReader(as_reader).page()).events
    assert event.document() == {
        "id": "1f-1764142842123-7",
        "at": "2025-11-26T07:40:42.123Z",
        "type": "user.loggedIn",
        "user": USERS[0x1F].hex(),
        "ip": "",
        "request": "",
    }


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("limit", 0),
        ("limit", 1001),
        ("after", ""),
        ("after", "40-1-1"),
        ("after", "1-1"),
        ("after", "00-1-1 "),
        ("after", "00-" + "9" * 30 + "-1"),
        ("after", "00-١-1"),
    ],
)
async def test_what_is_no_page(as_reader: RedisClient, field: str, wrong: object) -> None:
    """Such a limit, and what is no id of an event."""
    with pytest.raises(InvalidField) as refused:
        await EventReader(as_reader).page(**{field: wrong})  # type: ignore[arg-type]
    assert refused.value.field == field


async def some(batches: AsyncIterator[list[AuditEvent]], number: int) -> list[str]:
    """The next ids, so many at least."""
    found: list[str] = []
    async with asyncio.timeout(20):
        while len(found) < number:
            found += [event.id for event in await anext(batches)]
    return found


async def test_following(
    keys: RedisServer, as_reader: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From now on, or from an event on; in order; more than are asked for at once; none twice."""
    monkeypatch.setattr(reading, "_AT_ONCE", 10)
    monkeypatch.setattr(reading, "_PAUSE", 0.01)
    before = fill(keys, 200)[::-1]
    reader = EventReader(as_reader)
    batches = reader.follow(EventFilter())
    await anext(batches)
    new = [write(keys, USERS[7], "x") for _ in range(35)]
    assert await some(batches, 35) == new
    for after in (0, 57, 199):
        found = await some(reader.follow(EventFilter(), before[after]), 234 - after)
        assert sorted(found, key=Position.parse) == before[after + 1 :] + new
    ours = await some(reader.follow(EventFilter(USERS[7]), new[4]), 30)
    assert ours == new[5:]


async def test_following_through_an_outage(keys: RedisServer, as_reader: RedisClient) -> None:
    """What cannot be read is told, and read later."""
    told: list[StoreUnavailable] = []
    batches = EventReader(as_reader).follow(EventFilter(USERS[1]), told=told.append)
    await anext(batches)
    waiting = asyncio.create_task(some(batches, 1))
    with keys.client() as client:
        client.execute_command("ACL SETUSER", "openshow-events", "-xrange")
        try:
            await eventually(lambda: asyncio.sleep(0, bool(told)))
        finally:
            client.execute_command("ACL SETUSER", "openshow-events", "+xrange")
    written = write(keys, USERS[1], "x")
    assert await waiting == [written]
