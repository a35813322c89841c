"""Several requests on one connection: one after the other, whatever is in between."""

import socket

import pytest
from tools.testbed.service_process import Person, ServiceProcess

from tests.web.wire import Wire, error_of, parse

LIVE = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
LAST = b"GET /health/live HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


def logout_of(person: Person, *headers: str, chunked: bool = False) -> bytes:
    """A logout as it is sent."""
    body = b'{"refreshToken": "%s"}' % person.tokens["refreshToken"].encode()
    head = [
        "POST /auth/logout HTTP/1.1",
        "Host: test",
        f"Authorization: {person.bearer['Authorization']}",
        *headers,
    ]
    if chunked:
        head.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    else:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def statuses(received: bytes) -> list[int]:
    """The statuses of answers without a `HTTP/1.1` in their bodies."""
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "garbage", [b"garbage\r\n\r\n", b"\x16\x03\x01\x02", b"GET / HTTP/9.9\r\n\r\n", b"{}{}{}"]
)
async def test_a_logout_is_answered_before_what_follows(
    wire: Wire, person: Person, garbage: bytes, chunked: bool
) -> None:
    """204 for the logout that was carried out, then 400 for what is no request."""
    received = wire.send(logout_of(person, chunked=chunked) + garbage)
    first, _, second = received.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 204 ")
    answer = parse(second)
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")
    assert (await person.me()).status_code == 401


async def test_answers_come_in_order(wire: Wire, person: Person) -> None:
    """Bodies of known length, chunks and none, in one segment and byte by byte."""
    short = b"POST /auth/login HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}"
    missing = b"GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n"
    chunks = (
        b"POST /auth/refresh HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1;x=y\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n"
    )
    sent = LIVE + short + b"\r\n\r\n" + missing + chunks + logout_of(person) + LIVE + LAST
    expected = [200, 400, 404, 400, 204, 200, 200]
    assert statuses(wire.send(sent)) == expected
    sent = sent.replace(logout_of(person), missing)
    expected[4] = 404
    with wire.open() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in sent:
            connection.sendall(bytes((byte,)))
        received = b""
        while more := connection.recv(65_536):
            received += more
    assert statuses(received) == expected


async def test_a_client_that_has_said_all_is_answered(wire: Wire, person: Person) -> None:
    """A half-closed connection gets the answers to all that was whole, then its end."""
    with wire.open() as connection:
        connection.sendall(LIVE + logout_of(person) + LIVE + b"GET /hea")
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while more := connection.recv(65_536):
            received += more
    assert statuses(received) == [200, 204, 200]


def test_the_service_does_not_read_ahead(service: ServiceProcess, wire: Wire) -> None:
    """A client that reads no answer can send a few requests, and then its own buffer is full."""
    request = b"GET /schema HTTP/1.1\r\nHost: test\r\n\r\n"
    with wire.open() as connection:
        connection.setblocking(False)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += connection.send(request * 1000)
        except BlockingIOError:
            pass
        assert sent < 16 << 20
    assert wire.ask("GET /health/live").status_code == 200
