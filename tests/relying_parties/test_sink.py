"""Logout tokens on their way: what a party gets, how often, in what order, and what if it fails."""

import ipaddress
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.clock import system_clock
from service.keyring import signing
from service.keyring.signing import SigningKeys
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.relying_parties import sink as sinks
from service.relying_parties.logout_tokens import LogoutTokens
from service.relying_parties.sink import RelyingPartySink
from service.sinks import shipper as shipping
from service.sinks.receivers import Network
from service.sinks.shipper import Shipper
from service.sinks.sink import Retries
from service.sinks.state import SinkState
from tests.relying_parties.parties import CLIENT, ISSUER, claims_of, party_at, token_in, told
from tests.sinks.receiver import OK, Endpoint, listening
from tests.sinks.shipping import Told, bring, shipper
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

ANN = b"\x05" + bytes(15)
BOB = b"\x06" + bytes(15)
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"),)
KEYS = SigningKeys([signing.mint()])
JWKS: dict[str, Any] = json.loads(KEYS.jwks())


def sid(number: int) -> str:
    return f"{number:024x}"


def answer(status: str) -> Callable[[Any], bytes]:
    return lambda _: f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()


class Tokens:
    """What a sink counts."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()
        self.lags: list[float] = []

    def accepted(self, client: str, lag: float) -> None:
        assert client == CLIENT
        self.of["accepted"] += 1
        self.lags.append(lag)

    def refused(self, client: str) -> None:
        self.of["refused"] += 1

    def failed(self, client: str) -> None:
        self.of["failed"] += 1


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Where the party listens."""
    async with listening() as endpoint:
        yield endpoint


@pytest.fixture
async def redis(keys: RedisServer) -> AsyncIterator[RedisClient]:
    """A client as whoever may do anything."""
    client = RedisClient(keys.url, timing=PATIENTLY)
    yield client
    await client.aclose()


def write(server: RedisServer, user: bytes, type_: str, entry: str = "*", **more: str) -> None:
    """Write an event."""
    with server.client() as client:
        fields = {"type": type_, "user": user.hex(), "ip": "", "request": ""} | more
        client.xadd(bucket(user).events, fields, id=entry)


Make = Callable[..., Awaitable[Shipper]]


@pytest.fixture
async def make(redis: RedisClient, endpoint: Endpoint) -> AsyncIterator[Make]:
    """Makes shippers to the party."""
    made: list[Shipper] = []

    async def create(
        counts: Told | None = None,
        tokens: Tokens | None = None,
        *,
        owner: bytes = b"a",
        session_required: bool = True,
        allowed: tuple[Network, ...] = LOOPBACK,
        keys: SigningKeys = KEYS,
    ) -> Shipper:
        signer = LogoutTokens(lambda: keys, ISSUER, system_clock)
        party = party_at(endpoint, session_required=session_required)
        sink = RelyingPartySink(party, signer, tokens or Tokens(), allowed)
        sink.retries = Retries(timedelta(hours=1), timedelta(hours=1))  # until `at_once`
        made.append(shipper(redis, sink, owner, counts))
        return made[-1]

    yield create
    for each in made:
        await each.aclose()


def sink_of(one: Shipper) -> RelyingPartySink:
    assert isinstance(one._sink, RelyingPartySink)
    return one._sink


def at_once(one: Shipper) -> None:
    """Have it not wait any longer before it tries again."""
    for stream in one._streams:
        stream.not_before = 0


async def test_a_token_for_each_session(keys: RedisServer, make: Make, endpoint: Endpoint) -> None:
    """Each once, in order, over one connection, as the specification has it; for nothing else."""
    counts, tokens = Told(), Tokens()
    one = await make(counts, tokens)
    write(keys, ANN, "user.loggedIn", session=sid(1))
    write(keys, ANN, "user.loggedOut", session=sid(1))
    write(keys, ANN, "session.rotated", session=sid(2))
    write(keys, ANN, "user.sessionsEnded", count="2", sessions=f"{sid(3)} {sid(2)}")
    write(keys, BOB, "session.reuseDetected", session=sid(4))
    await bring(one, looks=3)
    of_ann = [each for each in told(endpoint.received, JWKS) if each[0] == ANN.hex()]
    assert of_ann == [(ANN.hex(), sid(1)), (ANN.hex(), sid(3)), (ANN.hex(), sid(2))]
    assert len(endpoint.received) == 4
    assert endpoint.connections == 2, "one for each stream"
    assert len({claims_of(each, JWKS)["jti"] for each in endpoint.received}) == 4
    assert tokens.of == {"accepted": 4}
    assert min(tokens.lags) >= 0
    assert counts.of == {"sent": 5}
    assert endpoint.received[0][0]["User-Agent"] == "openshow-auth"


async def test_all_of_somebodys_as_one(keys: RedisServer, make: Make, endpoint: Endpoint) -> None:
    """Where no session is required, without a session."""
    one = await make(session_required=False)
    write(keys, ANN, "user.disabled", count="2", sessions=f"{sid(1)} {sid(2)}")
    write(keys, ANN, "user.loggedOut", session=sid(3))
    await bring(one)
    assert told(endpoint.received, JWKS) == [(ANN.hex(), None), (ANN.hex(), sid(3))]


@pytest.mark.parametrize("status", ["200 OK", "204 No Content"])
async def test_told(keys: RedisServer, make: Make, endpoint: Endpoint, status: str) -> None:
    """Never again: neither by this process, nor by another one."""
    endpoint.answer = answer(status)
    one = await make()
    write(keys, ANN, "user.loggedOut", session=sid(1))
    await bring(one, looks=3)
    await one.aclose()
    await bring(await make(owner=b"b"), looks=3)
    assert told(endpoint.received, JWKS) == [(ANN.hex(), sid(1))]


@pytest.mark.parametrize(
    "status",
    [
        "500 Internal Server Error",
        "503 Service Unavailable",
        "404 Not Found",
        "429 Too Many Requests",
        "202 Accepted",
        "302 Found\r\nLocation: http://169.254.169.254/",
        "307 Temporary Redirect\r\nLocation: /hook?a=b",
    ],
    ids=lambda text: text[:3],
)
async def test_what_is_tried_again(
    keys: RedisServer, make: Make, endpoint: Endpoint, status: str
) -> None:
    """Later, with a token of its own time; no redirect is followed; what comes after it waits."""
    counts, tokens = Told(), Tokens()
    endpoint.answer = answer(status)
    one = await make(counts, tokens)
    write(keys, ANN, "user.loggedOut", session=sid(1))
    write(keys, ANN, "user.loggedOut", session=sid(2))
    await bring(one, looks=3)
    assert told(endpoint.received, JWKS) == [(ANN.hex(), sid(1))]
    assert (counts.of, tokens.of) == ({"failed": 1}, {"failed": 1})
    endpoint.answer = lambda _: OK
    at_once(one)
    await bring(one)
    assert told(endpoint.received, JWKS) == [(ANN.hex(), sid(n)) for n in (1, 1, 2)]
    first, again, _ = (claims_of(each, JWKS)["jti"] for each in endpoint.received)
    assert first != again
    assert counts.of == {"failed": 1, "sent": 2}


async def test_what_the_party_refuses_is_parked(
    keys: RedisServer, make: Make, endpoint: Endpoint
) -> None:
    """At once, and so is told what follows it; of one event the sessions that follow it, too.

    Else whoever logs out again and again, with an account that the party does not know, would hold
    up all whose events are in the same stream.
    """
    counts, tokens = Told(), Tokens()
    one = await make(counts, tokens)
    ended = {sid(2): "400 Bad Request"}

    def judge(received: Any) -> bytes:
        session = claims_of(received, JWKS)["sid"]
        return answer(ended.get(session, "200 OK"))(received)

    endpoint.answer = judge
    sessions = " ".join(map(sid, (1, 2, 3)))
    write(keys, ANN, "user.sessionsEnded", count="3", sessions=sessions)
    write(keys, ANN, "user.loggedOut", session=sid(4))
    await bring(one)
    assert [of for _, of in told(endpoint.received, JWKS)] == list(map(sid, (1, 2, 3, 4)))
    assert tokens.of == {"accepted": 3, "refused": 1}
    assert counts.of == {"failed": 1, "parked": 1, "sent": 1}
    assert (await SinkState(one._redis, one._sink.name).read(5)).parked == 1


async def test_an_event_goes_on_where_it_failed(
    keys: RedisServer, make: Make, endpoint: Endpoint
) -> None:
    """Sessions of an event that were told are not told again because another one was not."""
    one = await make()
    failing = {sid(2)}

    def judge(received: Any) -> bytes:
        is_bad = claims_of(received, JWKS)["sid"] in failing
        return answer("500 Oh" if is_bad else "200 OK")(received)

    endpoint.answer = judge
    write(keys, ANN, "user.deleted", count="3", sessions=" ".join(map(sid, (1, 2, 3))))
    await bring(one)
    failing.clear()
    at_once(one)
    await bring(one)
    assert [of for _, of in told(endpoint.received, JWKS)] == list(map(sid, (1, 2, 2, 3)))


LONG_AGO = sinks.GIVEN_UP_AFTER.total_seconds() * 2


async def test_a_party_that_is_down_is_given_up(
    keys: RedisServer, make: Make, endpoint: Endpoint
) -> None:
    """An event that has failed for so long is parked; later ones, once they are as old, after a
    try; one that is younger is tried again, and so is any once the party has answered."""
    counts = Told()
    endpoint.answer = answer("503 Gone")
    one = await make(counts)
    sink = sink_of(one)

    async def again() -> None:
        at_once(one)
        await bring(one)

    write(keys, ANN, "user.loggedOut", "1000-0", session=sid(1))
    write(keys, ANN, "user.loggedOut", "2000-0", session=sid(2))
    await bring(one)
    assert counts.of == {"failed": 1}, "old as it is, it has failed for a moment only"
    sink._down_since = time.monotonic() - LONG_AGO
    await again()
    assert counts.of == {"failed": 2, "parked": 1}
    await again()
    assert counts.of == {"failed": 3, "parked": 2}, "tried once"
    assert [of for _, of in told(endpoint.received, JWKS)] == list(map(sid, (1, 1, 2)))
    write(keys, ANN, "user.loggedOut", session=sid(3))
    await again()
    assert counts.of == {"failed": 4, "parked": 2}, "it is young"
    endpoint.answer = lambda _: OK
    await again()
    assert counts.of == {"failed": 4, "parked": 2, "sent": 1}
    endpoint.answer = answer("503 Gone")
    write(keys, BOB, "user.loggedOut", "1000-0", session=sid(4))
    await again()
    assert counts.of == {"failed": 5, "parked": 2, "sent": 1}, "it has just been there"


async def test_what_fails_alone_is_given_up(
    keys: RedisServer, make: Make, endpoint: Endpoint
) -> None:
    """However well the party answers about others meanwhile."""
    counts = Told()

    def judge(received: Any) -> bytes:
        is_bad = claims_of(received, JWKS)["sid"] == sid(1)
        return answer("500 Oh" if is_bad else "200 OK")(received)

    endpoint.answer = judge
    one = await make(counts)
    write(keys, ANN, "user.loggedOut", session=sid(1))
    await bring(one)
    write(keys, BOB, "user.loggedOut", session=sid(2))
    await bring(one)
    assert counts.of == {"failed": 1, "sent": 1}
    at_once(one)
    await bring(one)
    assert counts.of == {"failed": 2, "sent": 1}
    sink_of(one)._tellings[5].failed_at = time.monotonic() - LONG_AGO
    at_once(one)
    await bring(one)
    assert counts.of == {"failed": 3, "sent": 1, "parked": 1}


async def test_keys_that_are_not_open_are_waited_for(
    keys: RedisServer, make: Make, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes: it is not the party's fault."""
    monkeypatch.setattr(sinks, "GIVEN_UP_AFTER", timedelta(0))
    counts = Told()
    one = await make(counts, keys=SigningKeys.public_only([]))
    write(keys, ANN, "user.loggedOut", session=sid(1))
    for _ in range(3):
        await bring(one)
        at_once(one)
    assert counts.of == {"failed": 3}
    assert endpoint.connections == 0


async def test_nothing_is_sent_to_where_none_may_go(
    keys: RedisServer, make: Make, endpoint: Endpoint
) -> None:
    """Whatever was registered: what is not public and not allowed is not called at all."""
    counts = Told()
    one = await make(counts, allowed=())
    write(keys, ANN, "user.loggedOut", session=sid(1))
    await bring(one)
    assert (endpoint.connections, counts.of) == (0, {"failed": 1})


async def test_whoever_was_killed_is_replaced(
    keys: RedisServer, make: Make, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was posted and not noted is told again, by a token of its own; what was noted is not."""
    monkeypatch.setattr(shipping, "_ELSEWHERE", 0)
    write(keys, ANN, "user.loggedOut", session=sid(1))
    one = await make(owner=b"killed")
    await bring(one)
    with keys.client() as client:
        noted = client.hget(f"events:{{05}}:sink:{one._sink.name}", "cursor")
        write(keys, ANN, "user.loggedOut", session=sid(2))
        await bring(one)
        # It was killed right after the second post, and its lease is over.
        client.hset(f"events:{{05}}:sink:{one._sink.name}", mapping={"cursor": noted, "until": 1})
    await bring(await make(owner=b"other"), looks=3)
    assert [of for _, of in told(endpoint.received, JWKS)] == list(map(sid, (1, 2, 2)))
    assert len({token_in(each) for each in endpoint.received}) == 3


async def test_it_begins_with_what_ends_after_its_registration(
    keys: RedisServer, redis: RedisClient, endpoint: Endpoint
) -> None:
    """Whenever a process hears of the party: what came before is not told, what came since is."""
    signer = LogoutTokens(lambda: KEYS, ISSUER, system_clock)
    party = party_at(endpoint, since=2000)
    write(keys, ANN, "user.loggedOut", "1999-7", session=sid(1))
    write(keys, ANN, "user.loggedOut", "2001-0", session=sid(2))
    one = shipper(redis, RelyingPartySink(party, signer, Tokens(), LOOPBACK))
    await bring(one)
    await one.aclose()
    assert [of for _, of in told(endpoint.received, JWKS)] == [sid(2)]
