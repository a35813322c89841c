"""Addresses and methods that are not ours, and what is not even HTTP."""

import pytest

from tests.web.wire import ROUTES, Wire, error_of, parse


@pytest.mark.parametrize(
    "path",
    [
        "/", "/nothing", "/auth", "/auth/me/", "//auth/me", "/auth//me", "/auth%2Fme",
        "/auth/me%2f", "/schema/", "/schema/nothing", "/health", "/%", "/%ff%00", "/auth/me;x",
        "/../auth/me", "/auth/sessions/a/b", "/" + "a" * 30_000, "*",
    ],
)  # fmt: skip
def test_an_address_that_is_not_ours(wire: Wire, path: str) -> None:
    """404 in the one shape, also for what merely resembles one of ours."""
    answer = wire.ask(f"GET {path}")
    assert (answer.status_code, error_of(answer)) == (404, "not_found")


@pytest.mark.parametrize("path", sorted({call.split()[1] for call in ROUTES}))
def test_a_method_that_the_address_does_not_take(wire: Wire, path: str) -> None:
    """405 that says which it takes; HEAD wherever GET is. What HTTP does not know gets 400."""
    ours = {each.split()[0] for each in ROUTES if each.split()[1] == path}
    expected = ours | {"OPTIONS"} | ({"HEAD"} if "GET" in ours else set())
    allowed = wire.ask(f"OPTIONS {path}").headers["allow"]
    assert set(allowed.split(", ")) == expected
    for method in ("PUT", "PATCH", "TRACE", "PROPFIND", "CONNECT"):
        answer = wire.ask(f"{method} {path}")
        assert (answer.status_code, error_of(answer)) == (405, "method_not_allowed"), method
        assert answer.headers["allow"] == allowed, method
    answer = wire.ask(f"BREW {path}")
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")


def test_head_is_get_without_the_body(wire: Wire) -> None:
    """Same status and headers, nothing after them, not even for an error."""
    for path in ("/health/live", "/.well-known/jwks.json", "/auth/me", "/nothing"):
        got, head = wire.ask(f"GET {path}"), wire.ask(f"HEAD {path}")
        assert head.status_code == got.status_code
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.content == b""
    assert wire.ask("HEAD /auth/login").status_code == 405


def test_a_host_that_cannot_be_one(wire: Wire) -> None:
    """400 in the one shape."""
    sent = b'GET /health/live HTTP/1.1\r\nHost: a"b\r\nConnection: close\r\n\r\n'
    answer = parse(wire.send(sent))
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_not_http(wire: Wire, sent: bytes) -> None:
    """400 in the one shape, then the connection is closed."""
    answer = parse(wire.send(sent))
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")
    assert answer.headers["connection"] == "close"
