"""Where a message ends, and what in it is a header: one meaning only."""

import pytest
from tools.testbed.service_process import Person

from tests.web.test_pipelining import LAST, logout_of, statuses
from tests.web.wire import Wire, error_of, parse

INNER = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"

OFFERS = [
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"),
    ("Connection: upgrade", "Upgrade: TLS/1.0, HTTP/1.1"),
    ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Connection: keep-alive, upgrade", "uPGRADE: whatever/9"),
]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("offer", OFFERS)
async def test_an_offer_to_upgrade_is_ignored(
    wire: Wire, person: Person, offer: tuple[str, ...], chunked: bool
) -> None:
    """The body is read, in one piece or in two, and the next request is served."""
    sent = logout_of(person, *offer, chunked=chunked)
    assert statuses(wire.send(sent + INNER + LAST)) == [204, 200, 200]
    with wire.open() as connection:
        head, _, body = sent.partition(b"\r\n\r\n")
        for piece in (head + b"\r\n\r\n" + body[:9], body[9:], LAST):
            connection.sendall(piece)
        received = b""
        while more := connection.recv(65_536):
            received += more
    assert statuses(received) == [400, 200]  # the session has ended


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("line", ["POST /auth/login", "GET /auth/me", "POST /auth/2fa/enable"])
def test_a_body_is_never_a_request(wire: Wire, line: str, offer: tuple[str, ...]) -> None:
    """A body that looks like a request gets no answer of its own."""
    head = "\r\n".join([f"{line} HTTP/1.1", "Host: test", *offer])
    known = f"{head}\r\nContent-Length: {len(INNER)}\r\n\r\n".encode() + INNER
    chunks = f"{head}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (
        len(INNER),
        INNER,
    )
    for sent in (known, chunks):
        answers = statuses(wire.send(sent + LAST))
        assert len(answers) == 2
        assert answers[0] in (400, 401)
        assert answers[1] == 200


def with_trailers(line: str, headers: list[str], body: bytes, *trailers: str) -> bytes:
    head = [f"{line} HTTP/1.1", "Host: test", "Connection: close", *headers]
    end = "".join(f"{trailer}\r\n" for trailer in trailers)
    return "\r\n".join(
        [*head, "Transfer-Encoding: chunked"]
    ).encode() + b"\r\n\r\n%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, end.encode())


async def test_a_trailer_is_no_header(wire: Wire, person: Person) -> None:
    """No credential, no name of the request, no media type comes after the body."""
    credential = f"Authorization: {person.bearer['Authorization']}"
    for path in ("/auth/logout", "/auth/logout/all"):
        answer = parse(wire.send(with_trailers(f"POST {path}", [], b"{}", credential)))
        assert (answer.status_code, error_of(answer)) == (401, "unauthorized")
    answer = parse(
        wire.send(
            with_trailers(
                "POST /auth/login",
                ["X-Request-Id: head", "Content-Type: text/plain"],
                b"{}",
                "X-Request-Id: trailer",
                "Content-Type: application/json",
            )
        )
    )
    assert (answer.status_code, answer.headers["x-request-id"]) == (415, "head")


@pytest.mark.parametrize(
    "trailer",
    [
        "Upgrade: h2c\r\nConnection: upgrade", "Connection: close", "Host: other", "Host: a b",
        "Content-Length: 9", "Content-Length: x", "Content-Length: 0\r\nContent-Length: 1",
        "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Expect: 100-continue",
        "Connection: keep-alive", "X:", "X: \xe9", "x-y_z!: 1",
    ],
)  # fmt: skip
async def test_a_trailer_changes_no_framing(wire: Wire, person: Person, trailer: str) -> None:
    """However it arrives: the request is served, and the next one, too."""
    sent = with_trailers("POST /auth/login", [], b"{}", trailer)
    sent = sent.replace(b"Connection: close\r\n", b"", 1)
    assert statuses(wire.send(sent + LAST)) == [400, 200]
    assert b"email" in wire.send(sent + LAST), "the body was read"
    with wire.open() as connection:
        for at in range(len(sent)):
            connection.sendall(sent[at : at + 1])
        connection.sendall(sent + LAST)
        received = b""
        while more := connection.recv(65_536):
            received += more
    assert statuses(received) == [400, 400, 200]


LIVE = "GET /health/live HTTP/1.1"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"{LIVE}\r\nHost: test", 200),
        (f"{LIVE}\r\nhOST:test:8000", 200),
        (f"{LIVE}\r\nHost: [2001:db8::1]:8000", 200),
        (f"{LIVE}\r\nHost: [v1.a:b]", 200),
        (f"{LIVE}\r\nHost: a_b.example.", 200),
        (f"{LIVE}\r\nHost: %41", 200),
        (f"{LIVE}\r\nHost:", 200),
        ("GET /health/live HTTP/1.0", 200),
        ("GET /health/live HTTP/1.0\r\nHost: test", 200),
        (LIVE, 400),
        ("GET http://test/health/live HTTP/1.1", 400),
        (f"{LIVE}\r\nHost: test\r\nHost: test", 400),
        (f"{LIVE}\r\nHost: test\r\nX: y\r\nhost: other", 400),
        ("GET /health/live HTTP/1.0\r\nHost: a\r\nHost: b", 400),
        ("GET /health/live HTTP/1.0\r\nHost: a/b", 400),
        (f"{LIVE}\r\nHost: a b", 400),
        (f"{LIVE}\r\nHost: {'a' * 512}", 200),
        (f"{LIVE}\r\nHost: {'a' * 513}", 400),
        (f"{LIVE}\r\nHost: a, b", 400),
        (f"{LIVE}\r\nHost: http://test", 400),
        (f"{LIVE}\r\nHost: user@test", 400),
        (f"{LIVE}\r\nHost: test:port", 400),
        (f"{LIVE}\r\nHost: test:80:80", 400),
        (f"{LIVE}\r\nHost: ::1", 400),
        (f"{LIVE}\r\nHost: [::1", 400),
        (f"{LIVE}\r\nHost: []", 400),
        (f"{LIVE}\r\nHost: %4", 400),
        (f"{LIVE}\r\nHost: t\xe9st", 400),
        (f"{LIVE}\r\nHost: test?x", 400),
        (f"{LIVE}\r\nHost: test\\x", 400),
        ("GET /health/live", 400),
        *((f"GET /health/live HTTP/{version}\r\nHost: test", 400) for version in (
            "0.9", "2.0", "3.0", "1.2", "2", "1", "1.10", "01.1", "1.1 ", "x")),
        ("GET /health/live http/1.1\r\nHost: test", 400),
        ("GET /health/live ICE/1.1\r\nHost: test", 400),
        ("PRI * HTTP/2.0", 400),
    ],
)  # fmt: skip
def test_version_and_host(wire: Wire, head: str, status: int) -> None:
    """RFC 9112, sections 2.3 and 3.2: two versions, and with 1.1 one host, which can be one."""
    for more in ("", "\r\nConnection: Upgrade\r\nUpgrade: h2c"):
        sent = f"{head}\r\nConnection: close{more}\r\n\r\n".encode("latin-1")
        answer = parse(wire.send(sent))
        assert answer.status_code == status
        if status == 400:
            assert error_of(answer) == "bad_request"
            assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "headers",
    [
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5\r\n folded\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Host: other\r\nContent-Length: 5\r\n",
        b"X: a\rb\r\n",
        b"X: a\nContent-Length: 5\r\n",
    ],
)
def test_a_head_with_two_meanings_is_refused(wire: Wire, headers: bytes) -> None:
    """400 and the end, whatever comes behind it."""
    head = b"POST /auth/login HTTP/1.1\r\nHost: test\r\nConnection: close\r\n" + headers + b"\r\n"
    answer = parse(wire.send(head + b"0\r\n\r\n" + INNER))
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n", b"-1\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"2 \r\n{}\r\n0\r\n\r\n", b"2\n{}\n0\n\n",
        b"2\r\n{}0\r\n\r\n", b"2\r\n{}\r\n0\r\nno field\r\n\r\n", b"2\r\n{}\r\n0\r\n\n", b"\r\n",
        b"2;" + b"x" * 5000 + b"\r\n{}\r\n0\r\n\r\n", b"f" * 300,
        b"2;x=\"a\nb\"\r\n{}\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n", b"2\r\n{}\r\n0\r\nno : field\r\n\r\n",
        b"2\r\n{}\r\n0\r\n: field\r\n\r\n", b"2\r\n{}\r\n0\r\nX: a\r\n folded\r\n\r\n",
        b"2\r\n{}\r\n0\r\nX: a\0b\r\n\r\n", b"2\r\n{}\r\n0\r\nX: a\rb\r\n\r\n",
    ],
)  # fmt: skip
def test_a_chunked_body_that_is_none(wire: Wire, body: bytes) -> None:
    """400 and the end; what follows is no request."""
    head = b"POST /auth/login HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = wire.send(head + body + LAST)
    answer = parse(received)
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")
    assert len(statuses(received)) == 1


def test_chunks_belong_to_version_1_1(wire: Wire) -> None:
    """RFC 9112, section 6.1: in HTTP/1.0 nobody agrees on where they end."""
    sent = b"POST /auth/login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    answer = parse(wire.send(sent))
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")
    known = b"POST /auth/login HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}"
    assert statuses(wire.send(known + LAST)) == [400]


def test_a_refusal_arrives_while_the_client_still_sends(wire: Wire) -> None:
    """It is not overtaken by the reset of a closed socket, announced or chunked."""
    much = b"x" * (8 << 20)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n800000\r\n" + much + b"\r\n0\r\n\r\n"
    for framing in (b"Content-Length: 8388608\r\n\r\n" + much, chunked):
        for more in (b"", b"Connection: close\r\n"):
            with wire.open() as connection:
                head = b"POST /auth/login HTTP/1.1\r\nHost: test\r\n"
                connection.sendall(head + more + framing)
                assert b" 413 " in connection.recv(65_536)
    sent = b"POST /auth/login HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    answer = parse(wire.send(sent + b"a:\r\n" * 1_000_000))
    assert (answer.status_code, error_of(answer)) == (431, "headers_too_large")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET http://elsewhere.example/health/live", 200),
        ("GET http://elsewhere.example/health/live?x=y", 200),
        ("GET http://elsewhere.example", 404),
        ("GET http://elsewhere.example//health/live", 404),
        ("GET /health/live#fragment", 400),
        ("GET /health/live#?x", 400),
        ("GET //health/live", 404),
        ("CONNECT test:80", 400),
    ],
)
def test_other_forms_of_the_target(wire: Wire, line: str, status: int) -> None:
    """An absolute one is its path; one with a fragment is none (RFC 9112, section 3.2)."""
    assert wire.ask(line).status_code == status


def test_a_refused_offer_to_wait_ends_the_connection(wire: Wire) -> None:
    """A client that was refused instead of told to go on sends its body, or does not: who knows."""
    head = b"POST /auth/logout HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
    received = wire.send(head + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER + LAST)
    assert statuses(received) == [401]
    assert b"\r\nconnection: close\r\n" in received
    old = b"POST /auth/login HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    assert statuses(wire.send(old)) == [400]
