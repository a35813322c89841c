"""Which check comes first, on every route: 404, 405 → 413 → 401 → 415 → 400."""

import pytest
from tools.testbed.service_process import Person

from tests.web.wire import ROUTES, Wire, error_of

CHUNKED = "Transfer-Encoding: chunked"
TOO_MUCH = b"11000\r\n" + b"x" * 0x11000 + b"\r\n0\r\n\r\n"
TOO_LONG = "Content-Length: 70000"
WRONG_TYPE = "Content-Type: text/plain"

needing = pytest.mark.parametrize("call", ROUTES)


@needing
def test_a_large_body_is_refused_before_anything_else(wire: Wire, call: str) -> None:
    """413 on every route, announced or chunked, with neither credential nor right media type."""
    announced = wire.ask(call, TOO_LONG, WRONG_TYPE)
    chunked = wire.ask(call, CHUNKED, WRONG_TYPE, body=TOO_MUCH)
    for answer in (announced, chunked):
        assert (answer.status_code, error_of(answer)) == (413, "payload_too_large")


@pytest.mark.parametrize("call", [call for call, takes in ROUTES.items() if "bearer" in takes])
def test_the_credential_comes_before_the_body(wire: Wire, call: str) -> None:
    """401, whatever is wrong with the body besides."""
    answer = wire.ask(call, WRONG_TYPE, "Content-Length: 1", body=b"{")
    assert (answer.status_code, error_of(answer)) == (401, "unauthorized")


LOGOUT = "POST /auth/logout"
_REFUSED_FOR_ITS_BODY: list[tuple[str, str]] = [
    (call, body)
    for call, takes in ROUTES.items()
    if takes == "bearer body" and call != LOGOUT
    for body in ("{", "[]", '{"code": 1, "keepCurrent": 1}')
] + [
    ("POST /auth/reauthenticate", '{"refreshToken": "x"}'),
    ("POST /auth/reauthenticate", '{"refreshToken": "x", "password": "y", "code": "z"}'),
    (
        "POST /auth/password/change",
        '{"currentPassword": "x", "newPassword": "%s"}' % ("y" * 1025),
    ),
]


async def test_an_ended_session_comes_before_the_body(wire: Wire, person: Person) -> None:
    """401 from the moment the session has ended, whatever is wrong with the body or its type."""
    bearer = f"Authorization: {person.bearer['Authorization']}"

    def ask(call: str, body: str, media_type: str) -> tuple[int, str]:
        headers = (bearer, f"Content-Type: {media_type}", f"Content-Length: {len(body)}")
        answer = wire.ask(call, *headers, body=body.encode())
        return answer.status_code, error_of(answer)

    for call, body in _REFUSED_FOR_ITS_BODY:
        assert ask(call, body, "application/json") == (400, "bad_request")
    await person.log_out()
    for call, body in _REFUSED_FOR_ITS_BODY:
        assert ask(call, body, "application/json") == (401, "unauthorized"), (call, body)
        assert ask(call, body, "text/plain") == (401, "unauthorized"), call
    assert ask(LOGOUT, "{", "application/json") == (400, "bad_request")
    assert ask(LOGOUT, "{}", "text/plain") == (415, "unsupported_media_type")


@pytest.mark.parametrize("call", [call for call, takes in ROUTES.items() if "body" in takes])
async def test_the_media_type_comes_before_the_body(wire: Wire, person: Person, call: str) -> None:
    """415 for what is not JSON by name, before anybody tries to read it."""
    bearer = f"Authorization: {person.bearer['Authorization']}"
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "jsonish", "text/json"):
        headers = (bearer, f"Content-Type: {media_type}", "Content-Length: 1")
        answer = wire.ask(call, *headers, body=b"{")
        assert (answer.status_code, error_of(answer)) == (415, "unsupported_media_type")
    for media_type in (
        "",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/a+json",
    ):
        headers = (bearer, f"Content-Type: {media_type}", "Content-Length: 1")
        assert wire.ask(call, *headers, body=b"{").status_code == 400


def test_an_unknown_address_or_method_comes_first(wire: Wire) -> None:
    """404 and 405 even with a body that is too long."""
    assert wire.ask("POST /auth/nothing", TOO_LONG).status_code == 404
    assert wire.ask("PUT /auth/login", TOO_LONG).status_code == 405


def test_whoever_waits_for_100_continue_is_told(wire: Wire) -> None:
    """What is refused by its headers is refused without the body; else the client may go on."""
    expect = "Expect: 100-continue"
    assert wire.ask("POST /auth/login", expect, TOO_LONG).status_code == 413
    assert wire.ask("POST /auth/logout", expect, "Content-Length: 2").status_code == 401
    with wire.open() as connection:
        connection.sendall(
            b"POST /auth/login HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
            b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert connection.recv(1024).startswith(b"HTTP/1.1 400 ")


ODD_IDS = [
    "%", "%41", "%00", "%2F", "%2f..", "%zz", "%25", "0123456789abcdef0123456%37", "x" * 300,
    "%41" * 300, "..%2fme", "x;y", "x@y", "..", "-", "'", "0123456789ABCDEF01234567",
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_an_odd_id_is_an_id(wire: Wire, person: Person, odd: str) -> None:
    """Whatever is in the place of an id gets the answers of any: who asks is looked at first."""
    good = person.bearer["Authorization"]
    credentials: list[list[str]] = [
        [],
        ["Authorization: Bearer x.y.z"],
        [f"Authorization: {good}x"],
        ["Authorization: Basic eDp5"],
        [f"Authorization: {good}", f"Authorization: {good}"],
        [f"Authorization: {good}"],
    ]
    for headers in credentials:
        for method in ("DELETE", "GET", "HEAD", "POST"):
            plain = wire.ask(f"{method} /auth/sessions/zz", *headers)
            answer = wire.ask(f"{method} /auth/sessions/{odd}", *headers)
            if "%" in odd and not headers:
                assert answer.status_code == 404, "another spelling, as of any address"
                continue
            seen = (answer.status_code, answer.content, answer.headers.get("www-authenticate"))
            assert seen == (
                plain.status_code, plain.content, plain.headers.get("www-authenticate"),
            )  # fmt: skip
            if method == "DELETE":
                assert answer.status_code == (404 if headers == credentials[-1] else 401)
    assert wire.ask(f"DELETE /auth/session/{odd}").status_code == 404
    assert (await person.me()).status_code == 200
