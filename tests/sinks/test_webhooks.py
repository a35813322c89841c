"""Webhooks: what receivers can verify, what is tried again, and where none may go."""

import base64
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.redis.client import RedisClient
from service.sinks import posting
from service.sinks.receivers import Network, receiver_at
from service.sinks.shipper import Shipper
from service.sinks.signatures import WebhookKeys
from service.sinks.webhooks import WebhookSink
from tests.events.conftest import write
from tests.sinks.receiver import OK, Endpoint, listening
from tests.sinks.shipping import Told, bring, shipper
from tests.support.looking import ON_VALKEY
from tests.support.node import FOLDER, install_packages, run_node

pytestmark = ON_VALKEY

ANN = b"\x05" + bytes(15)
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Somebody who listens."""
    async with listening() as endpoint:
        yield endpoint


@pytest.fixture
async def redis(keys: RedisServer) -> AsyncIterator[RedisClient]:
    """A client as whoever may do anything."""
    client = RedisClient(keys.url, timing=PATIENTLY)
    yield client
    await client.aclose()


def keys_of(endpoint: Endpoint) -> WebhookKeys:
    return WebhookKeys(b"k" * 32, endpoint.url)


def sink_of(endpoint: Endpoint, allowed: tuple[Network, ...] = LOOPBACK) -> WebhookSink:
    return WebhookSink(receiver_at(endpoint.url), lambda: keys_of(endpoint), allowed)


Begin = Callable[..., Awaitable[Shipper]]


@pytest.fixture
async def begun(redis: RedisClient, endpoint: Endpoint) -> AsyncIterator[Begin]:
    """Makes shippers that have begun, so that what comes is sent."""
    made: list[Shipper] = []

    async def make(told: Told | None = None, allowed: tuple[Network, ...] = LOOPBACK) -> Shipper:
        made.append(shipper(redis, sink_of(endpoint, allowed), told=told))
        await bring(made[-1])
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


async def test_receivers_can_verify_them(
    keys: RedisServer, begun: Begin, endpoint: Endpoint
) -> None:
    """By the package of Standard Webhooks, by the public key, and by nobody else's."""
    write(keys, ANN, "user.before")
    one = await begun()
    event = write(keys, ANN, "user.loggedIn")
    await bring(one)
    [(headers, body)] = endpoint.received
    mine = keys_of(endpoint)
    document = Webhook(mine.secret).verify(body, dict(headers))
    assert document["type"] == "user.loggedIn"
    assert document["timestamp"].endswith("Z")
    assert document["data"] == {"id": event, "user": ANN.hex(), "ip": "", "request": ""}
    assert headers["webhook-id"] == event
    public = Ed25519PublicKey.from_public_bytes(
        base64.b64decode(mine.public_key.removeprefix("whpk_"))
    )
    v1a = next(each for each in headers["webhook-signature"].split() if each.startswith("v1a,"))
    signed = f"{event}.{headers['webhook-timestamp']}.".encode()
    signature = base64.b64decode(v1a.removeprefix("v1a,"))
    public.verify(signature, signed + body)
    with pytest.raises(InvalidSignature):
        public.verify(signature, signed + body + b" ")
    other = WebhookKeys(b"k" * 32, endpoint.url + "2")
    with pytest.raises(WebhookVerificationError):
        Webhook(other.secret).verify(body, dict(headers))
    assert mine.secret not in repr(mine)


async def test_what_came_since_redis_was_emptied(
    keys: RedisServer, begun: Begin, endpoint: Endpoint, redis: RedisClient
) -> None:
    """Redis knows no more how far the copies had got; who brings them on now sends all there is."""
    one = await begun()
    write(keys, ANN, "x")
    await bring(one)
    other = shipper(redis, sink_of(endpoint, LOOPBACK), b"b")
    with keys.client() as client:
        client.flushdb()
    ids = [write(keys, ANN, "x") for _ in range(3)]
    await bring(other)
    assert [headers["webhook-id"] for headers, _ in endpoint.received[1:]] == ids
    await other.aclose()


async def test_receivers_with_node_can_verify_them(
    keys: RedisServer, begun: Begin, endpoint: Endpoint
) -> None:
    """By the package that npm has, which refuses what was changed on its way or is old."""
    install_packages()
    one = await begun()
    event = write(keys, ANN, "user.loggedIn")
    await bring(one)
    [(headers, body)] = endpoint.received
    sent = {name: value for name, value in headers.items() if name.startswith("webhook-")}
    script = str(FOLDER / "webhook.mjs")
    printed = run_node(script, keys_of(endpoint).secret, json.dumps(sent), body.decode())
    told = json.loads(printed)
    assert told["verified"]["data"]["id"] == event
    assert told["changed"] == "No matching signature found"
    assert told["old"] == "Message timestamp too old"


async def test_in_order_over_one_connection(
    keys: RedisServer, begun: Begin, endpoint: Endpoint
) -> None:
    """More than a batch of one user; a receiver that hangs up in between gets all of it."""
    one = await begun()
    ids = [write(keys, ANN, "x") for _ in range(150)]
    await bring(one)
    assert [headers["webhook-id"] for headers, _ in endpoint.received] == ids
    assert endpoint.connections == 1
    close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK"
    endpoint.answer = lambda _: close
    ids += [write(keys, ANN, "x") for _ in range(3)]
    await bring(one)
    assert [headers["webhook-id"] for headers, _ in endpoint.received] == ids


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /hook?a=b\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 70_000,
        b"",
    ],
    ids=["500", "302", "307", "no HTTP", "endless", "hung up"],
)
async def test_what_is_no_2xx_is_tried_again(
    keys: RedisServer, begun: Begin, endpoint: Endpoint, answer: bytes
) -> None:
    """Later, with the same id; no redirect is followed; what comes after it waits."""
    told = Told()
    one = await begun(told)
    endpoint.answer = lambda _: answer
    ids = [write(keys, ANN, "x") for _ in range(2)]
    await bring(one, looks=2)
    assert {headers["webhook-id"] for headers, _ in endpoint.received} == {ids[0]}
    assert told.of == {"failed": 1}
    assert 4 < one._streams[5].not_before - one._streams[5].held_at < 10
    endpoint.answer = lambda _: OK
    one._streams[5].not_before = 0
    await bring(one)
    assert [headers["webhook-id"] for headers, _ in endpoint.received][-2:] == ids
    assert told.of == {"failed": 1, "sent": 2}


async def test_who_does_not_answer(
    keys: RedisServer, begun: Begin, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is given up after some seconds."""
    monkeypatch.setattr(posting, "PATIENCE", 0.2)
    told = Told()
    one = await begun(told)
    endpoint.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    write(keys, ANN, "x")
    await bring(one)
    assert told.of == {"failed": 1}


@pytest.mark.parametrize("length", ["70000", "9" * 30, "0" * 9 + "9" * 9])
async def test_of_a_long_answer_the_status_counts(
    keys: RedisServer,
    begun: Begin,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    length: str,
) -> None:
    """Whatever length is announced, and however it is spelt, no more is waited for or kept."""
    monkeypatch.setattr(posting, "PATIENCE", 0.2)
    told = Told()
    one = await begun(told)
    endpoint.answer = lambda _: f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    write(keys, ANN, "x")
    await bring(one)
    assert told.of == {"sent": 1}


async def test_nothing_is_sent_to_where_none_may_go(
    keys: RedisServer, begun: Begin, endpoint: Endpoint
) -> None:
    """Unless its network is allowed, this machine is not called at all."""
    told = Told()
    one = await begun(told, ())
    write(keys, ANN, "x")
    await bring(one)
    assert (endpoint.connections, told.of) == (0, {"failed": 1})
