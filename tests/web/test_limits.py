"""How long a query, a head and trailers may be, and which check comes first."""

import pytest

from service.web.oauth_errors import PATHS
from tests.web.wire import ROUTES, Wire, error_of, parse

QUERY = 1024


ANYWHERE = [call for call in ROUTES if not call.endswith("/callback")]
"""Where a provider sends people back, more is let in: tests/oauth/test_flow.py."""


@pytest.mark.parametrize("call", [*ANYWHERE, "GET /nothing", "PUT /auth/me", "GET /auth/m%65"])
def test_a_long_query_is_refused_before_anything_else(wire: Wire, call: str) -> None:
    """1,024 bytes pass and make no difference; one more is 414, on whatever route."""
    allowed = wire.ask(f"{call}?{'q' * QUERY}")
    assert allowed.status_code == wire.ask(call).status_code
    refused = wire.ask(f"{call}?{'q' * (QUERY + 1)}", "Content-Length: 70000", "X: y")
    assert (refused.status_code, error_of(refused)) == (414, "uri_too_long")


@pytest.mark.parametrize("number", [101, 1000])
@pytest.mark.parametrize("call", [*ROUTES, "GET /nothing", "PUT /auth/me"])
def test_too_many_fields_are_refused_before_the_route(wire: Wire, call: str, number: int) -> None:
    """100 fields pass; more are 431, but a long query is 414 all the same."""
    fields = [f"X-{n}: y" for n in range(number - 2)]  # besides Host and Connection
    answer = wire.ask(call, *fields)
    assert (answer.status_code, error_of(answer)) == (431, "headers_too_large")
    assert wire.ask(f"{call}?{'q' * 9000}", *fields).status_code == 414
    assert wire.ask(call, *fields[:98]).status_code == wire.ask(call).status_code


@pytest.mark.parametrize("same", ["X: ", "Cookie: a=", "Accept: "])
def test_fields_of_one_name_count_each(wire: Wire, same: str) -> None:
    """They are joined, and were all sent."""
    assert wire.ask("GET /health/live", *[f"{same}{n}" for n in range(98)]).status_code == 200
    assert wire.ask("GET /health/live", *[f"{same}{n}" for n in range(99)]).status_code == 431


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: ".ljust(65_537, b"x"), 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x:\r\n" * 20_000, 431, "headers_too_large"),
        (b"GET /".ljust(65_537, b"x"), 431, "headers_too_large"),
        (b"\r\n" * 40_000, 431, "headers_too_large"),
        (b"GET /health/ready?".ljust(65_537, b"x"), 414, "uri_too_long"),
        (b"GET /?".ljust(200_000, b"x"), 414, "uri_too_long"),
    ],
)
def test_a_head_without_end(wire: Wire, sent: bytes, status: int, code: str) -> None:
    """It is cut off at 64 KiB, and the connection is closed."""
    answer = parse(wire.send(sent))
    assert (answer.status_code, error_of(answer)) == (status, code)
    assert answer.headers["connection"] == "close"


def test_a_head_of_64_kib_passes(wire: Wire) -> None:
    """It is counted from the first byte to the empty line."""
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: "
    for size, status in ((65_536, 200), (65_537, 431)):
        assert parse(wire.send(head.ljust(size - 4, b"x") + b"\r\n\r\n")).status_code == status


def chunked(trailers: bytes, fields: int = 0) -> bytes:
    head = b"POST /auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"".join(b"X-%d: y\r\n" % n for n in range(fields))
    return head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + trailers + b"\r\n"


def test_trailers_share_the_room_of_the_head(wire: Wire) -> None:
    """100 fields and 64 KiB together; more is 431, before the body is looked at."""
    for sent, status in (
        (chunked(b"a:\r\n" * 97), 400),
        (chunked(b"a:\r\n" * 98), 431),
        (chunked(b"a:\r\n" * 47, fields=50), 400),
        (chunked(b"a:\r\n" * 48, fields=50), 431),
        (chunked(b"a: " + b"x" * 60_000 + b"\r\n"), 400),
        (chunked(b"a: " + b"x" * 66_000 + b"\r\n"), 431),
        (chunked(b"a: " + b"x" * 66_000), 431),
    ):
        answer = parse(wire.send(sent))
        assert answer.status_code == status
        assert error_of(answer) == ("bad_request" if status == 400 else "headers_too_large")


def test_the_oauth_endpoints_keep_their_shape(wire: Wire) -> None:
    """That of RFC 6749, whichever layer refuses, from the moment that it is known who is asked."""
    head = b"Host: x\r\nConnection: close\r\nContent-Type: application/%s\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n"
    for path in sorted(PATHS):
        kind = b"json" if path.endswith("/batch") else b"x-www-form-urlencoded"
        line = b"POST %s HTTP/1.1\r\n" % path.encode() + head % kind
        for sent, status, code in (
            (line.replace(b" HTTP", b"?%s HTTP" % (b"q" * 1025)) + b"\r\n", 414, "uri_too_long"),
            (line + b"a:\r\n" * 98 + b"\r\n", 431, "headers_too_large"),
            (line + chunks + b"0\r\n" + b"a:\r\n" * 97 + b"\r\n", 431, "headers_too_large"),
            (line + chunks + b"1\r\nx\r\n" * 4097 + b"0\r\n\r\n", 413, "invalid_request"),
            (line + chunks + b"zz\r\n", 400, "invalid_request"),
            (line.replace(b"1.1", b"1.0") + chunks, 400, "invalid_request"),
        ):
            answer = parse(wire.send(sent))
            assert answer.status_code == status, sent[-99:]
            assert set(answer.json()) == {"error", "error_description"}, sent[-99:]
            assert answer.json()["error"] == code


@pytest.mark.parametrize("call", ROUTES)
def test_no_path_has_an_escape(wire: Wire, call: str) -> None:
    """404 for another spelling of each of ours, whatever the method."""
    method, path = call.split()
    escaped = [
        path[:-1] + f"%{ord(path[-1]):02x}",
        path[:-1] + f"%{ord(path[-1]):02X}",
        f"/%{ord(path[1]):02x}{path[2:]}",
        f"/%2f{path[1:]}",
        f"/%2e{path}",
        path + "%",
        path + "%00",
        path + "/",
        "/" + path,
        path + "//",
    ]
    for spelling in escaped:
        answer = wire.ask(f"{method} {spelling}")
        assert (answer.status_code, error_of(answer)) == (404, "not_found"), spelling
    assert wire.ask(f"{method} {path}?x=%61").status_code == wire.ask(call).status_code


@pytest.mark.parametrize(("number", "status"), [(4096, 400), (4097, 413), (60_000, 413)])
def test_how_many_chunks(wire: Wire, number: int, status: int) -> None:
    """A body of single bytes: 4,096 of them are read, more are not, in one piece or in many."""
    head = b"POST /auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    sent = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * number + b"0\r\n\r\n"
    answer = parse(wire.send(sent))
    assert answer.status_code == status
    assert error_of(answer) == ("bad_request" if status == 400 else "payload_too_large")
