"""Copies of the events: what was cut out, changed or put in is found, in files and in the table."""

import asyncio
import json
import os
import random
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.cli.sink_commands import compare
from service.events.event import ALL_STREAMS
from service.redis.client import RedisClient
from service.sinks.batch import digest_of
from service.sinks.files import FileSink
from service.sinks.signatures import is_signed
from service.sinks.sql import SqlSink, batches_of
from service.sinks.state import SinkState
from service.sinks.verifying import Copy, Report
from tests.events.conftest import write
from tests.sinks.shipping import KEYS, Told, bring, shipper
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

USERS = [bytes([number]) + bytes(15) for number in (3, 9)]


@pytest.fixture
async def redis(keys: RedisServer) -> AsyncIterator[RedisClient]:
    """A client as whoever may do anything."""
    client = RedisClient(keys.url, timing=PATIENTLY)
    yield client
    await client.aclose()


def verifier(kid: str, signature: bytes, digest: bytes) -> bool | None:
    public = KEYS.public(kid)
    return None if public is None else is_signed(digest, public, signature)


async def checked(redis: RedisClient, lines: list[bytes], sink: str = "file") -> Report:
    """What is found in a copy, compared with how far it had got."""
    state = SinkState(redis, sink)
    copy = Copy()
    copy.add("copy", lines)
    noted = {bucket: await state.read(bucket) for bucket in ALL_STREAMS}
    report = copy.check(noted, verifier)
    await compare(redis, copy, noted)
    return report


async def copied(keys: RedisServer, redis: RedisClient, path: Path) -> list[bytes]:
    """A file with three batches of one stream, and one of another."""
    one = shipper(redis, FileSink(path))
    for number in range(3):
        for _ in range(4):
            write(keys, USERS[0], f"t{number}")
        await bring(one)
    write(keys, USERS[1], "other")
    await bring(one)
    await one.aclose()
    return path.read_bytes().splitlines()  # noqa: ASYNC240  nothing else runs


async def test_what_is_whole(keys: RedisServer, redis: RedisClient, tmp_path: Path) -> None:
    """Events in order, a line each, the batch behind them; the first of each stream is signed."""
    path = tmp_path / "events.jsonl"
    lines = await copied(keys, redis, path)
    assert path.stat().st_mode & 0o777 == 0o600
    documents = [json.loads(line) for line in lines]
    assert [each.get("type", each.get("batch")) for each in documents] == [
        *["t0"] * 4, 1, *["t1"] * 4, 2, *["t2"] * 4, 3, "other", 1,
    ]  # fmt: skip
    report = await checked(redis, lines)
    assert (report.events, report.batches, report.signed) == (13, 4, 2)
    assert (report.faults, report.notes) == ([], [])


def _change(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"t1"', b'"t9"', 1) for line in lines]


def _change_with_its_digest(lines: list[bytes]) -> list[bytes]:
    head = json.loads(lines[4])
    events = [line.replace(b'"t0"', b'"t9"') for line in lines[:4]]
    head["digest"] = digest_of(bytes(32), events).hex()
    return [*events, json.dumps(head).encode(), *lines[5:]]


def _change_unsigned_with_its_digest(lines: list[bytes]) -> list[bytes]:
    head = json.loads(lines[9])
    events = [line.replace(b'"t1"', b'"t9"') for line in lines[5:9]]
    head["digest"] = digest_of(bytes.fromhex(head["before"]), events).hex()
    assert "signature" not in head
    return [*lines[:5], *events, json.dumps(head).encode(), *lines[10:]]


def _add_to_the_last_batch(lines: list[bytes]) -> list[bytes]:
    """Put a batch beside the last one of a stream, with one event more."""
    head = json.loads(lines[14])
    events = [*lines[10:14], lines[13].replace(b'"t2"', b'"t9"')]
    head |= {"digest": digest_of(bytes.fromhex(head["before"]), events).hex(), "count": 5}
    return [*lines[:15], *events, json.dumps(head).encode(), *lines[15:]]


def _follow_the_last_batch(lines: list[bytes]) -> list[bytes]:
    """Put two batches behind the last one of a stream, as if they had not been noted yet."""
    more: list[bytes] = []
    head = json.loads(lines[14])
    for _ in range(2):
        event = lines[13].replace(b'"t2"', b'"t9"')
        digest = digest_of(bytes.fromhex(head["digest"]), [event]).hex()
        head |= {"batch": head["batch"] + 1, "before": head["digest"], "digest": digest, "count": 1}
        more += [event, json.dumps(head).encode()]
    return [*lines, *more]


TAMPERING: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "an event changed": _change,
    "an event changed, with its digest": _change_with_its_digest,
    "an unsigned one changed, with its digest": _change_unsigned_with_its_digest,
    "an event cut out": lambda lines: lines[:2] + lines[3:],
    "an event put in": lambda lines: [*lines[:5], lines[0].replace(b"t0", b"t7"), *lines[5:]],
    "an event put in beside the last batch": _add_to_the_last_batch,
    "batches put in behind the last one": _follow_the_last_batch,
    "two exchanged": lambda lines: [lines[1], lines[0], *lines[2:]],
    "a batch cut out": lambda lines: lines[:5] + lines[10:],
    "the first batch cut out": lambda lines: lines[5:],
    "the last batch cut out": lambda lines: lines[:10] + lines[15:],
    "a whole stream cut out": lambda lines: lines[:15],
    "a batch without its events": lambda lines: [*lines[:5], lines[9], *lines[10:]],
    "all gone": lambda lines: [],
}


@pytest.mark.parametrize("name", TAMPERING)
async def test_what_was_tampered_with(
    keys: RedisServer, redis: RedisClient, tmp_path: Path, name: str
) -> None:
    """Each is a fault that says where."""
    lines = await copied(keys, redis, tmp_path / "events.jsonl")
    report = await checked(redis, TAMPERING[name](lines))
    assert report.faults
    assert any(
        "stream 03" in fault or "stream 09" in fault or "copy" in fault for fault in report.faults
    )


@pytest.mark.parametrize(
    "lines", [[], [b"root:x:0:0:root:/root:/bin/sh"] * 3], ids=["empty", "text"]
)
async def test_what_is_no_copy(keys: RedisServer, redis: RedisClient, lines: list[bytes]) -> None:
    """Where Redis knows of no batch either, nothing being there is not that nothing is missing."""
    report = await checked(redis, lines)
    assert [fault[:25] for fault in report.faults] == ["no batch of events is in "]


async def test_where_redis_names_no_last_batch(
    keys: RedisServer, redis: RedisClient, tmp_path: Path
) -> None:
    """Its end may have been cut off then, which is said."""
    lines = await copied(keys, redis, tmp_path / "events.jsonl")
    with keys.client() as client:
        client.delete("events:{03}:sink:file")
    report = await checked(redis, lines[:10] + lines[15:])
    assert report.faults == []
    assert [note[:33] for note in report.notes] == ["Redis names no last batch of 1 st"]


async def test_a_forged_chain_has_no_signature(
    keys: RedisServer, redis: RedisClient, tmp_path: Path
) -> None:
    """Who writes the whole file anew, with right digests, cannot sign; nor is it what was noted."""
    lines = await copied(keys, redis, tmp_path / "events.jsonl")
    forged = _change_with_its_digest(lines)[:5]
    copy = Copy()
    copy.add("copy", forged)
    assert copy.check(None, verifier).faults == ["batch 1 of stream 03: its signature is wrong"]


async def test_a_batch_that_was_not_noted_yet(
    keys: RedisServer, redis: RedisClient, tmp_path: Path
) -> None:
    """What has arrived a moment ago is no fault: Redis has its events."""
    path = tmp_path / "events.jsonl"
    write(keys, USERS[0], "x")
    one = shipper(redis, FileSink(path))
    await bring(one)
    state = SinkState(redis, "file")
    before = await state.read(3)
    write(keys, USERS[0], "y")
    await bring(one)
    await one.aclose()
    with keys.client() as client:
        noted = {"cursor": before.cursor, "number": before.number, "digest": before.digest}
        client.hset("events:{03}:sink:file", mapping=noted)
    report = await checked(redis, path.read_bytes().splitlines())
    assert (report.faults, report.events, report.batches) == ([], 2, 2)


async def test_after_crashes(keys: RedisServer, redis: RedisClient, tmp_path: Path) -> None:
    """A line cut short, and batches that came again with more in them, are no faults."""
    path = tmp_path / "events.jsonl"
    for _ in range(4):
        write(keys, USERS[0], "x")
    one = shipper(redis, FileSink(path), b"one")
    await bring(one)
    await one.aclose()
    with keys.client() as client:  # it was killed before it could note what it had written
        client.delete("events:{03}:sink:file")
    with path.open("ab") as file:
        file.write(b'{"id":"03-17')
    for _ in range(3):
        write(keys, USERS[0], "y")
    two = shipper(redis, FileSink(path), b"two")
    await bring(two)
    write(keys, USERS[0], "z")
    await bring(two)
    await two.aclose()
    report = await checked(redis, path.read_bytes().splitlines())
    assert (report.faults, report.events, report.batches) == ([], 8, 2)
    assert report.notes == ["copy has a line that was cut short, as by a crash"]


async def test_a_file_that_cannot_be_written(
    keys: RedisServer, redis: RedisClient, tmp_path: Path
) -> None:
    """Nothing counts as arrived until it can be; a renamed file is left behind."""
    path = tmp_path / "there" / "events.jsonl"
    ids = [write(keys, USERS[0], "x") for _ in range(3)]
    one = shipper(redis, FileSink(path))
    await bring(one)
    path.parent.mkdir()
    one._streams[3].not_before = 0
    await bring(one)
    path.rename(tmp_path / "rotated")
    ids.append(write(keys, USERS[0], "x"))
    await bring(one)
    await one.aclose()
    lines = [*(tmp_path / "rotated").read_bytes().splitlines(), *path.read_bytes().splitlines()]
    found = [json.loads(line)["id"] for line in lines if b'"batch"' not in line]
    assert found == ids
    assert (await checked(redis, lines)).faults == []


async def test_a_file_stays_open_while_it_is_written(
    keys: RedisServer, redis: RedisClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a shipper that ends meanwhile: else its lines might go to what is opened next."""
    begun, may_go_on, fsync = threading.Event(), threading.Event(), os.fsync

    def slow_fsync(file: int) -> None:
        begun.set()
        may_go_on.wait(20)
        fsync(file)

    monkeypatch.setattr("service.sinks.files.os.fsync", slow_fsync)
    write(keys, USERS[0], "x")
    one = shipper(redis, FileSink(tmp_path / "events.jsonl"))
    await one.look()
    assert await asyncio.to_thread(begun.wait, 20)
    closing = asyncio.create_task(one.aclose())
    done, _ = await asyncio.wait([closing], timeout=0.2)
    may_go_on.set()
    assert not done
    await closing


async def test_standard_output(
    keys: RedisServer, redis: RedisClient, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same lines, and the same chain."""
    ids = [write(keys, USERS[0], "x") for _ in range(3)]
    one = shipper(redis, FileSink(Path("-")))
    await bring(one)
    await one.aclose()
    lines = capfd.readouterr().out.encode().splitlines()
    assert [json.loads(line).get("id") for line in lines] == [*ids, None]
    assert (await checked(redis, lines)).faults == []


async def test_nobody_reads_standard_output(
    keys: RedisServer, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing hangs, and nothing counts as arrived."""
    write(keys, USERS[0], "x")
    monkeypatch.setattr("service.sinks.files.select.select", lambda *_: ([], [], []))
    told = Told()
    one = shipper(redis, FileSink(Path("-")), told=told)
    await bring(one)
    await one.aclose()
    assert told.of == {"failed": 1}


async def test_the_table(keys: RedisServer, redis: RedisClient, engine: AsyncEngine) -> None:
    """Each event is a row, once however often it comes; what is changed there is found."""
    one = shipper(redis, SqlSink(engine))
    for number in range(30):
        write(keys, random.choice(USERS), f"t{number}")
        if number % 10 == 0:
            await bring(one)
    await bring(one)
    await SinkState(redis, "sql").rewind(3, "0-0")
    await bring(shipper(redis, SqlSink(engine), b"other"))

    async def report() -> Report:
        lines = [line for bucket in ALL_STREAMS for line in await batches_of(engine, bucket)]
        return await checked(redis, lines, "sql")

    whole = await report()
    assert (whole.faults, whole.events) == ([], 30)
    async with engine.begin() as connection:
        changed = "UPDATE audit SET document = replace(document, 't7', 't8') WHERE type = 't7'"
        await connection.exec_driver_sql(changed)
    assert len((await report()).faults) >= 1
    async with engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM audit")
    assert len((await report()).faults) >= 2


async def test_sqlite_is_left_to_others(
    keys: RedisServer, redis: RedisClient, engine: AsyncEngine
) -> None:
    """One stream at a time has it, as it has one writer, and who waits for it has no turn."""
    for bucket in range(20):
        write(keys, bytes([bucket]) * 16, "t")
    at_once, most = 0, 0

    def taken(*_: object) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)

    def given_back(*_: object) -> None:
        nonlocal at_once
        at_once -= 1

    event.listen(engine.sync_engine.pool, "checkout", taken)
    event.listen(engine.sync_engine.pool, "checkin", given_back)
    await bring(shipper(redis, SqlSink(engine)))
    assert (most == 1) is (engine.dialect.name == "sqlite")
    assert len([line for bucket in ALL_STREAMS for line in await batches_of(engine, bucket)]) == 40
