"""Headers that answers carry: who challenges, when to come back, what not to keep, for which."""

import re
from typing import Any

import httpx
import pytest
from tools.testbed.service_process import PASSWORD, Person

from tests.web.wire import ROUTES, Wire

CHALLENGE = 'Bearer realm="openshow"'
INVALID = f'{CHALLENGE}, error="invalid_token"'


@pytest.mark.parametrize(
    ("credential", "challenge"),
    [
        (None, CHALLENGE),
        ("", CHALLENGE),
        ("Bearer", CHALLENGE),
        ("Bearer ", CHALLENGE),
        ("Basic YTpi", CHALLENGE),
        ("bearertoken", CHALLENGE),
        ("Bearer x", INVALID),
        ("bearer  x.y.z", INVALID),
        ("BEARER \xff\xfe", INVALID),
        ("Bearer a b", INVALID),
        ("Bearer " + "x" * 20_000, INVALID),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", INVALID),
    ],
)
def test_the_challenge_says_whether_a_token_was_refused(
    wire: Wire, credential: str | None, challenge: str
) -> None:
    """RFC 6750, section 3: `invalid_token` only where a Bearer credential was sent."""
    headers = [] if credential is None else [f"Authorization: {credential}"]
    answer = wire.ask("GET /auth/me", *headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, challenge)


async def test_a_damaged_token_is_refused(http: httpx.AsyncClient, person: Person) -> None:
    """Each part of a real token changed, cut or with bytes that no token has."""
    head, claims, signature = person.tokens["accessToken"].split(".")
    damaged = [
        f"{head}.{claims}.{signature[:-4]}AAAA",
        f"{head}.{claims}",
        f"{head}.{claims}.",
        f"{head}.{claims}.{signature}.",
        f"{head}.{claims}A.{signature}",
        f"{head}.\xff.{signature}",
        f"{head}.{claims}.\xff",
        f"{head}..{signature}",
        f"x{head}.{claims}.{signature}",
    ]
    for token in damaged:
        header = f"Bearer {token}".encode("latin-1")
        answer = await http.get("/auth/me", headers={"Authorization": header})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, INVALID), token
    assert (await person.me()).status_code == 200


async def test_every_401_challenges(http: httpx.AsyncClient, person: Person) -> None:
    """Also where it was not an access token that was refused."""
    wrong = {"email": person.email, "password": "wrong password"}
    for path, body in (("/auth/login", wrong), ("/auth/refresh", {"refreshToken": "osr_x"})):
        answer = await http.post(path, json=body, headers=person.bearer)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, CHALLENGE)


async def test_what_holds_a_token_is_not_kept(http: httpx.AsyncClient, person: Person) -> None:
    """Cache-Control: no-store on all that holds tokens or personal data."""
    body: Any = {"email": person.email, "password": PASSWORD}
    answers = [
        await http.post("/auth/signup", json=body | {"email": "new@example.com"}),
        await http.post("/auth/login", json=body),
        await person.refresh(),
        await person.me(),
        await http.get("/auth/sessions", headers=person.bearer),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


@pytest.mark.parametrize(
    "line", [*ROUTES, "GET /nothing", "PUT /auth/me", "GET //metrics", "HEAD /x", "BREW /pot"]
)
def test_every_answer_names_its_request(wire: Wire, line: str) -> None:
    """Whatever becomes of it, once, and a new name each time."""
    names = [wire.ask(line).headers.get_list("x-request-id") for _ in range(2)]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{16}", name) for [name] in names)
    assert names[0] != names[1]


@pytest.mark.parametrize(
    "line", ["GET /health/live", "GET /nothing", "PUT /auth/me", "GET /auth/me"]
)
def test_a_request_may_bring_its_name(wire: Wire, line: str) -> None:
    """It is taken over if it is 1 to 64 letters, digits, `_` or `-`; else there is a new one."""
    for good in ("a", "A-b_9", "x" * 64):
        assert wire.ask(line, f"X-Request-Id: {good}").headers["x-request-id"] == good
    for bad in ("", "x" * 65, "a b", "ä", "a\tb", "a,b", "${jndi:x}"):
        answer = wire.ask(line, f"X-Request-Id: {bad}")
        assert re.fullmatch(r"[A-Za-z0-9_-]{16}", answer.headers["x-request-id"])
    large = wire.ask("POST /auth/login", "X-Request-Id: mine", "Content-Length: 70000")
    assert (large.status_code, large.headers["x-request-id"]) == (413, "mine")


def test_other_origins_get_no_leave(wire: Wire) -> None:
    """No CORS header, neither for a preflight nor for the request itself."""
    origin = "Origin: https://elsewhere.example"
    for answer in (
        wire.ask("OPTIONS /auth/me", origin, "Access-Control-Request-Method: GET"),
        wire.ask("GET /auth/me", origin),
        wire.ask("GET /.well-known/jwks.json", origin),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
