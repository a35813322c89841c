"""A code or a ticket that was used is not good again in a Redis that went back or was emptied."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from tools.testbed.parts import CLIENT, MAC_KEYS
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.errors import StoreRefuses, TicketNotFound
from service.keyring.envelope import Keyring
from service.redis.keys import bucket, bucket_of, numbered
from service.rollback import watch
from service.tickets.tickets import Tickets
from service.tickets.tokens import (
    EMAIL_CHANGE,
    EMAIL_UNDO,
    PROVIDER_GRANT,
    Purpose,
    TicketTokens,
    Token,
)
from service.twofactor import scripts
from service.twofactor.scripts import PENDING_BYTES, clock_ms
from tests.rollback.conftest import NewPod
from tests.rollback.pod import Pod, Snapshot
from tests.support.looking import ON_VALKEY

USER, ENROLMENT = bytes(range(16)), bytes(range(16, 32))
NAMES = bucket(USER)
LIFE = timedelta(hours=1)
WATERMARK, CHALLENGE, PENDING = NAMES.totp + ENROLMENT, NAMES.challenge + USER, NAMES.pending + USER

pytestmark = ON_VALKEY
ON_SQLITE = pytest.mark.parametrize("new_user_store", ["sqlite"], indirect=True)

TakeSnapshot = Callable[..., Snapshot]
Door = Callable[[Pod, RedisServer, int], Awaitable[Any]]


async def answer(pod: Pod, server: RedisServer, step: int) -> bool:
    with server.client() as client:
        client.set(CHALLENGE, USER + ENROLMENT + b"\0", px=60_000)
    outcome = await scripts.answer(
        pod.link, USER, CLIENT, challenge_key=CHALLENGE, watermark_key=WATERMARK, how="totp",
        code_step=step, clock=clock_ms(),
    )  # fmt: skip
    return bool(outcome == b"accepted")


async def confirm(pod: Pod, server: RedisServer, step: int) -> bool:
    with server.client() as client:
        client.set(PENDING, (ENROLMENT + bytes(9)).ljust(PENDING_BYTES, b"\0"), px=60_000)
    outcome = await scripts.confirm(
        pod.link, USER, CLIENT, pending_key=PENDING, watermark_key=WATERMARK,
        enrolment_id=ENROLMENT, code_step=step, clock=clock_ms(),
    )  # fmt: skip
    return bool(outcome == b"accepted")


async def spend(pod: Pod, _: RedisServer, step: int) -> bool:
    return bool(
        await scripts.spend(
            pod.link, USER, CLIENT, watermark_key=WATERMARK, code_step=step, clock=clock_ms()
        )
    )


async def prove(pod: Pod, _: RedisServer, step: int) -> bool:
    return bool(
        await scripts.prove(
            pod.link, USER, CLIENT, watermark_key=WATERMARK, code_step=step, clock=clock_ms()
        )
    )


def now() -> int:
    """The step of this moment."""
    return int(time.time() // 30)


def written(server: RedisServer) -> dict[bytes, Any]:
    """What the server has of the user, but for the floor."""
    with server.client() as client:
        return {key: client.dump(key) for key in client.scan_iter() if key != NAMES.totp_floor}


@ON_SQLITE
@pytest.mark.parametrize("door", [answer, confirm, spend, prove])
async def test_emptied_before_anybody_has_looked(pod: Pod, keys: RedisServer, door: Door) -> None:
    """At every door: the code is not judged, and nothing used or counted; then it is a used one."""
    await pod.watch.start_serving()
    step = now()
    assert await door(pod, keys, step)
    with keys.client() as client:
        client.flushall()
    with pytest.raises(StoreRefuses) as refused:
        await door(pod, keys, step)
    assert refused.value.refusal == "rollback"
    assert written(keys).keys() <= {CHALLENGE, PENDING}, "nothing was counted, and no code used"
    if door is answer:
        assert tries(keys) == 0
    await pod.watch.look()
    assert [await door(pod, keys, step), await door(pod, keys, step + 1)] == [False, False]
    assert await door(pod, keys, now() + 2), "of a step that nobody can have used"


def tries(server: RedisServer) -> int:
    """How many wrong answers the challenge has had."""
    with server.client() as client:
        return int(client.get(CHALLENGE)[32])


@ON_SQLITE
async def test_a_new_redis_judges_codes_from_the_start(new_pod: NewPod, keys: RedisServer) -> None:
    """Two pods start at once on empty stores: neither takes the codes of that minute for used."""
    pods = [await new_pod(), await new_pod()]
    await asyncio.gather(*(pod.watch.start_serving() for pod in pods))
    assert await spend(pods[0], keys, now() - 1)
    assert await spend(pods[1], keys, now())


async def test_a_pod_that_starts_after_it_was_emptied(new_pod: NewPod, keys: RedisServer) -> None:
    """It has seen none of it, and no revocation tells: the user store knows there were floors."""
    before = await new_pod()
    await before.watch.start_serving()
    step = now()
    assert await spend(before, keys, step)
    with keys.client() as client:
        client.flushall()
    late = await new_pod()
    await late.watch.start_serving()
    assert not await spend(late, keys, step)


@ON_SQLITE
async def test_one_that_has_lived_through_it(pod: Pod, keys: RedisServer) -> None:
    """It knows without the user store, which is told once each bucket has had a floor: not while
    nobody serves the others of a cluster."""
    floors = pod.watch._floors
    await floors.look({USER[0]: False})
    assert not await pod.store.has_floors()
    step = now()
    assert await spend(pod, keys, step)
    with keys.client() as client:
        client.flushall()
    await floors.look({USER[0]: False})
    assert not await spend(pod, keys, step)


@ON_SQLITE
async def test_a_code_that_is_not_judged_has_it_looked_at(
    pod: Pod, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not at the next turn: with a turn an hour codes are judged again soon."""
    monkeypatch.setattr(watch, "_EVERY", 3600.0)
    await pod.watch.start_serving()
    running, step = asyncio.create_task(pod.watch.run()), now()

    async def is_there() -> bool:
        return bool(await pod.own.execute("EXISTS", NAMES.totp_floor))

    async def has_rested() -> bool:
        return not pod.watch._soon.is_set()

    try:
        assert await spend(pod, keys, step)
        await eventually(has_rested)
        for _ in range(2):
            with keys.client() as client:
                client.flushall()
            with pytest.raises(StoreRefuses):
                await spend(pod, keys, step)
            await eventually(is_there)
        assert not await spend(pod, keys, step)
    finally:
        running.cancel()
        await asyncio.wait({running})


@ON_SQLITE
async def test_a_floor_in_one_bucket_alone(pod: Pod, keys: RedisServer) -> None:
    """Others go on as they are: nobody's code is taken for used elsewhere."""
    await pod.watch.start_serving()
    elsewhere, step = USER[0] ^ 1, now()
    with keys.client() as client:
        client.delete(NAMES.totp_floor)
        await pod.watch.look()
        assert int(client.get(NAMES.totp_floor) or 0) > step
        assert client.get(numbered(elsewhere).totp_floor) == b"0"


@pytest.fixture
def tickets(pod: Pod) -> Tickets:
    """Tickets in the pod's Redis."""
    return Tickets(pod.link, TicketTokens(MAC_KEYS, 2), Keyring({1: bytes(32)}))


async def take(tickets: Tickets, token: Token) -> bool:
    """Use a ticket up, and tell whether it was good."""
    try:
        if token.purpose.several:
            await tickets.take_one_of_several(token, LIFE, CLIENT)
        else:
            await tickets.take(token, LIFE, CLIENT)
    except TicketNotFound:
        return False
    return True


async def issue(tickets: Tickets, server: RedisServer, purpose: Purpose) -> Token:
    """Issue a ticket, of whatever kind."""
    if not purpose.several:
        issued = await tickets.issue(purpose, USER, 1, LIFE, "", CLIENT)
        return tickets.recognise(issued.token, purpose)
    minted = tickets.mint(purpose, USER, 1)
    with server.client() as client:
        seconds, micros = client.time()
        now = seconds * 1000 + micros // 1000
        client.hset(minted.key, minted.token.digest, now.to_bytes(6) + minted.record)
        client.pexpire(minted.key, LIFE)
    return minted.token


@ON_SQLITE
@pytest.mark.parametrize("purpose", [EMAIL_CHANGE, EMAIL_UNDO, PROVIDER_GRANT])
async def test_a_ticket_that_was_used(
    pod: Pod, tickets: Tickets, keys: RedisServer, snapshot: TakeSnapshot, purpose: Purpose
) -> None:
    """It is in the copy, and no more good for it, nor is one that was not used; new ones are."""
    ended = await pod.open(USER)
    used = await issue(tickets, keys, purpose)
    before = snapshot()
    assert await take(tickets, used)
    await pod.end(ended)
    await pod.settle()
    before.put_back()
    await pod.watch.look()
    await pod.settle()
    assert not await take(tickets, used)
    await eventually(lambda: later_than(keys, int(floor_of_tickets(keys))))
    assert await take(tickets, await issue(tickets, keys, purpose))


def floor_of_tickets(server: RedisServer) -> bytes:
    with server.client() as client:
        return bytes(client.get(NAMES.ticket_floor))


async def later_than(server: RedisServer, moment: int) -> bool:
    """Whether a ms has begun since."""
    with server.client() as client:
        seconds, micros = client.time()
    return bool(seconds * 1000 + micros // 1000 > moment)


@ON_SQLITE
@pytest.mark.parametrize("how", ["connection", "buckets", "journal"])
async def test_in_buckets_that_have_lost_no_revocation(
    pod: Pod, tickets: Tickets, keys: RedisServer, snapshot: TakeSnapshot, how: str
) -> None:
    """They are served at once, and neither code nor ticket counts: before the connection is used,
    before what a node has got is, and before any bucket is done again."""
    await pod.watch.start_serving()
    ended = await pod.open(bytes([USER[0] ^ 1]) + os.urandom(15))
    step, used = now(), await issue(tickets, keys, EMAIL_CHANGE)
    before = snapshot()
    assert await spend(pod, keys, step)
    assert await take(tickets, used)
    await pod.end(ended)
    await pod.settle()
    before.put_back()
    if how == "connection":
        await pod.reconnect()
        assert await pod.lives(ended) == "rollback"
    elif how == "buckets":
        (node,) = await pod.own._topology.primaries()
        await pod.rollback.check_buckets(node, [USER[0], USER[0] ^ 1])
    else:
        pod.replay.run = without_redoing  # type: ignore[method-assign]
        await pod.journal.turn()
    assert not await spend(pod, keys, step)
    assert not await take(tickets, used)


async def without_redoing(*_: object) -> None:
    """What ends before anything is done again."""


@ON_SQLITE
@pytest.mark.parametrize("is_known", [True, False])
async def test_other_nodes_of_a_cluster(
    pod: Pod, keys: RedisServer, snapshot: TakeSnapshot, is_known: bool
) -> None:
    """They have not gone back: codes there go on to count; all are used up if it is not known
    whose the lost bucket was."""

    def server_of(key: bytes) -> object:
        bucket = bucket_of(key)
        return bucket & 1 if is_known or bucket != lost else None

    await pod.watch.start_serving()
    pod.own.server_of = server_of  # type: ignore[method-assign]
    ended = await pod.open(USER)
    lost = USER[0]
    before = snapshot(lost)
    await pod.end(ended)
    await pod.settle()
    before.put_back()
    await pod.journal.turn()
    with keys.client() as client:
        raised = {b for b in range(64) if client.exists(numbered(b).ticket_floor)}
    assert raised == ({b for b in range(64) if b % 2 == lost % 2} if is_known else set(range(64)))
