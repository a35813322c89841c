"""Tickets in Redis: each works once, and nothing there tells its token."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tools.testbed.parts import CLIENT, MAC_KEYS, PATIENTLY
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.errors import SealBroken, TicketNotFound, UnknownLayout
from service.keyring.envelope import Keyring
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.tickets.tickets import Issued, Tickets, forget_tickets
from service.tickets.tokens import PASSWORD_RESET, Purpose, TicketTokens, Token
from tests.support.looking import events
from tests.support.run_queue import Stopwatch

USER, OTHER = secrets.token_bytes(16), secrets.token_bytes(16)
ANOTHER_PURPOSE = Purpose("another", 200, "osm_")
MINUTE = timedelta(minutes=1)
KEY = bucket(USER).ticket + b"reset:" + USER


@pytest.fixture
async def tickets(keys: RedisServer) -> AsyncIterator[Tickets]:
    redis = RedisClient(keys.url, timing=PATIENTLY)
    yield Tickets(redis, TicketTokens(MAC_KEYS, 2), Keyring({1: bytes(32)}))
    await redis.aclose()


async def issue(
    tickets: Tickets,
    user_id: bytes = USER,
    purpose: Purpose = PASSWORD_RESET,
    life: timedelta = MINUTE,
    bound: bytes = b"",
) -> Issued:
    return await tickets.issue(
        purpose, user_id, 2**53 - 1, life, "user.resetRequested", CLIENT,
        bound=bound, reason="a call", by="cli",
    )  # fmt: skip


def token_of(tickets: Tickets, issued: Issued, purpose: Purpose = PASSWORD_RESET) -> Token:
    return tickets.recognise(issued.token, purpose)


async def gone(tickets: Tickets, token: Token) -> bool:
    """Whether it is neither found nor taken."""
    for ask in (tickets.find(token), tickets.take(token, MINUTE, CLIENT)):
        try:
            await ask
        except TicketNotFound:
            continue
        return False
    return True


async def test_it_works_once(tickets: Tickets) -> None:
    """It is found as often as one looks, and taken once; then it is as if it had never been."""
    token = token_of(tickets, await issue(tickets, bound=b"to be kept secret"))
    found = [await tickets.find(token) for _ in range(3)]
    taken = await tickets.take(token, MINUTE, CLIENT)
    assert [*found, taken] == [taken] * 4
    assert (taken.user_id, taken.row_version, taken.bound) == (
        USER,
        2**53 - 1,
        b"to be kept secret",
    )
    assert await gone(tickets, token)


async def test_fifty_racers(tickets: Tickets, keys: RedisServer) -> None:
    """From two processes; one of them wins, ten times in a row."""
    redis = RedisClient(keys.url, timing=PATIENTLY)
    elsewhere = Tickets(redis, TicketTokens(MAC_KEYS, 2), Keyring({1: bytes(32)}))
    for _ in range(10):
        token = token_of(tickets, await issue(tickets))
        outcomes = await asyncio.gather(
            *((tickets, elsewhere)[number % 2].take(token, MINUTE, CLIENT) for number in range(50)),
            return_exceptions=True,
        )
        losers = [outcome for outcome in outcomes if isinstance(outcome, TicketNotFound)]
        assert len(losers) == 49
    await redis.aclose()


async def test_the_newest_counts(tickets: Tickets) -> None:
    """A new one replaces the one before, which does not use the new one up; other users' stay."""
    first, other = await issue(tickets), await issue(tickets, OTHER)
    second = await issue(tickets)
    assert await gone(tickets, token_of(tickets, first))
    await tickets.take(token_of(tickets, second), MINUTE, CLIENT)
    await tickets.take(token_of(tickets, other), MINUTE, CLIENT)


async def test_purposes_apart(tickets: Tickets) -> None:
    """Of each purpose a user has one; neither is good for the other, nor replaces it."""
    reset, another = await issue(tickets), await issue(tickets, purpose=ANOTHER_PURPOSE)
    for issued, wrong in ((reset, ANOTHER_PURPOSE), (another, PASSWORD_RESET)):
        with pytest.raises(TicketNotFound):
            tickets.recognise(issued.token, wrong)
    await tickets.take(token_of(tickets, reset), MINUTE, CLIENT)
    await tickets.take(token_of(tickets, another, ANOTHER_PURPOSE), MINUTE, CLIENT)


async def test_it_expires(tickets: Tickets, keys: RedisServer) -> None:
    """When it says, by its key's own deadline; then it is as any that is not there."""
    issued = await issue(tickets, life=timedelta(milliseconds=300))
    token = token_of(tickets, issued)
    with keys.client() as client:
        assert client.pexpiretime(KEY) == issued.expires_at.timestamp() * 1000
    assert abs(issued.expires_at - datetime.now(UTC)) < timedelta(seconds=30)

    async def expired() -> bool:
        try:
            await tickets.find(token)
        except TicketNotFound:
            return True
        return False

    await eventually(expired)
    assert await gone(tickets, token)


async def test_nothing_at_rest_tells_it(tickets: Tickets, keys: RedisServer) -> None:
    """Redis has a digest and what is sealed: no part of the token, nothing of what is bound."""
    issued = await issue(tickets, bound=b"to be kept secret")
    token = token_of(tickets, issued)
    with keys.client() as client:
        [key] = client.scan_iter(match="ticket:*")
        stored = key + client.get(key) + repr(client.xrange(bucket(USER).events)).encode()
    assert key == KEY
    random, mac = token.secret[19:51], token.secret[51:]
    for secret in (issued.token[-24:].encode(), random[:8], random[-8:], mac[:8], b"kept secret"):
        assert secret not in stored
    assert issued.token not in repr(issued)


async def test_the_layout(tickets: Tickets, keys: RedisServer) -> None:
    """Version, digest and row version, then what is bound in an envelope: pods beside read it."""
    since = Stopwatch()
    token = token_of(tickets, await issue(tickets))
    with keys.client() as client:
        assert 60_000 - 1000 * (since.all + 1) < client.pttl(KEY) <= 60_000
        assert client.get(KEY) == b"\x01" + token.digest + (2**53 - 1).to_bytes(7)
        token = token_of(tickets, await issue(tickets, bound=b"to be kept secret"))
        stored = client.get(KEY)
    assert stored[:24] == b"\x01" + token.digest + (2**53 - 1).to_bytes(7)
    opened = Keyring({1: bytes(32)}).open(
        stored[24:], purpose="ticket", bound_to=b"\x01" + USER + token.digest
    )
    assert opened == b"to be kept secret"


async def test_what_is_bound_belongs_to_it(tickets: Tickets, keys: RedisServer) -> None:
    """Moved to another user's ticket, it does not open."""
    await issue(tickets, bound=b"to be kept secret")
    issued = await issue(tickets, OTHER, bound=b"of another user's")
    other = bucket(OTHER).ticket + b"reset:" + OTHER
    with keys.client() as client:
        mine, theirs = client.get(KEY), client.get(other)
        client.set(other, theirs[:24] + mine[24:], px=60_000)
    with pytest.raises(SealBroken):
        await tickets.find(token_of(tickets, issued))


@pytest.mark.parametrize("change", [
    lambda record: b"\x02" + record[1:], lambda record: record[:23], lambda record: b"\x01",
])  # fmt: skip
async def test_another_version(tickets, keys, change) -> None:  # type: ignore[no-untyped-def]
    """What this program cannot read it leaves as it is: 503, not a ticket that was used."""
    token = token_of(tickets, await issue(tickets))
    with keys.client() as client:
        changed = change(client.get(KEY))
        client.set(KEY, changed, px=60_000)
        for ask in (tickets.find(token), tickets.take(token, MINUTE, CLIENT)):
            with pytest.raises(UnknownLayout):
                await ask
        assert client.get(KEY) == changed


async def test_its_event(tickets: Tickets, keys: RedisServer) -> None:
    """Issuing writes one, with who and why; finding and taking write none."""
    token = token_of(tickets, await issue(tickets))
    await tickets.find(token)
    await tickets.take(token, MINUTE, CLIENT)
    [event] = events(keys, USER)
    event.pop("id")
    assert event == {
        "type": "user.resetRequested", "user": USER.hex(), "ip": "192.0.2.7",
        "request": "request-1", "reason": "a call", "by": "cli",
    }  # fmt: skip


async def test_forgetting(tickets: Tickets, keys: RedisServer) -> None:
    """All tickets of one user go, and nobody else's."""
    mine, other = await issue(tickets), await issue(tickets, OTHER)
    redis = RedisClient(keys.url, timing=PATIENTLY)
    await forget_tickets(redis, USER)
    await redis.aclose()
    assert await gone(tickets, token_of(tickets, mine))
    await tickets.take(token_of(tickets, other), MINUTE, CLIENT)
