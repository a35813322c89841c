"""JSON bodies: whatever is sent, the answer is a documented one and repeats nothing of it."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tools.testbed.service_process import PASSWORD, Person, ServiceProcess

from service.web.routes.accounts import CredentialsBody
from service.web.routes.bodies import SignedInBody
from tests.web.wire import ROUTES, error_of

SECRET = "SeCrEt-ThAt-NoBoDy-MaY-rEpEaT"

TAKING_BODY = [call.split()[1] for call, takes in ROUTES.items() if "body" in takes]

FIELDS = [
    *("refreshToken", "email", "password", "tempSecretId", "challengeId", "code"),
    *("currentPassword", "newPassword", "token"),
    *("redirectUri", "codeChallenge", "grant", "codeVerifier"),
]


def all_fields(value: bytes) -> bytes:
    """An object that has every text that any route takes, spelt as `value`."""
    return b"{" + b", ".join(b'"%b": %b' % (name.encode(), value) for name in FIELDS) + b"}"


BROKEN = {
    "a word": b"hello",
    "half an object": b'{"email": "' + SECRET.encode(),
    "two objects": all_fields(b'""') + b" {}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "invalid UTF-8": all_fields(b'"\xff"'),
    "invalid UTF-8 in an unknown field": b'{"other": "\xff"}',
    "a lone surrogate": all_fields(b'"\\ud800 x"'),
    "65 KB of brackets": b'{"x": ' + b"[" * 65_000,
    "65 KB of braces": b'{"a":' * 13_000,
    "NaN": b'{"refreshToken": NaN, "email": NaN, "keepCurrent": NaN}',
    "blanks": b"  ",
}


def test_no_body_shows_what_is_in_it() -> None:
    """Neither a password that was sent nor a token that is answered stands in a representation."""
    assert SECRET not in repr(CredentialsBody(SECRET, SECRET, resource=SECRET))
    user: Any = None
    answer = SignedInBody(
        access_token=SECRET, refresh_token=SECRET, expires_in=1, session_id="", user=user
    )
    assert repr(answer) == "SignedInBody()"


async def post(http: httpx.AsyncClient, person: Person, path: str, content: bytes) -> Any:
    return await http.post(path, content=content, headers=person.bearer)


@pytest.mark.parametrize("what", BROKEN)
async def test_what_is_not_json_is_told_so(
    http: httpx.AsyncClient, person: Person, what: str
) -> None:
    """400 `bad_request`, in words about the whole body, on every route that takes one."""
    for path in TAKING_BODY:
        if (path, what) == ("/auth/logout/all", "a lone surrogate"):
            continue  # it has no field for a text
        answer = await post(http, person, path, BROKEN[what])
        assert (answer.status_code, error_of(answer)) == (400, "bad_request"), path
        assert answer.json()["error"]["message"] == "The body is not valid JSON.", path
        assert SECRET not in answer.text, path


@pytest.mark.parametrize("content", [b"[]", b'"text"', b"17", b"true"])
async def test_what_is_no_object_is_told_so(
    http: httpx.AsyncClient, person: Person, content: bytes
) -> None:
    """400 that names `body` as the field, on every route that takes one."""
    message = "The body must be a JSON object."
    for path in TAKING_BODY:
        error = (await post(http, person, path, content)).json()["error"]
        assert error == {
            "code": "bad_request",
            "message": message,
            "details": [{"field": "body", "message": message}],
        }, path


@pytest.mark.parametrize(
    ("path", "content", "field"),
    [
        ("/auth/login", b"", "email"),
        ("/auth/login", b"null", "email"),
        ("/auth/login", b'{"email": "a@example.com"}', "password"),
        ("/auth/signup", b'{"password": "x"}', "email"),
        ("/auth/refresh", b"{}", "refreshToken"),
    ],
)
async def test_what_is_missing_is_named(
    http: httpx.AsyncClient, path: str, content: bytes, field: str
) -> None:
    """The first missing field is named; an empty body lacks them all."""
    answer = await http.post(path, content=content)
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")
    message = f"The field {field} is required."
    assert answer.json()["error"]["details"] == [{"field": field, "message": message}]


WRONG = [SECRET, "true", 17_171_717, 1, 1.5, True, None, [SECRET], {"x": SECRET}]


@pytest.mark.parametrize(
    ("path", "field", "right"),
    [
        ("/auth/signup", "email", str),
        ("/auth/login", "password", str),
        ("/auth/refresh", "refreshToken", str),
        ("/auth/logout", "refreshToken", (str, type(None))),
        ("/auth/logout/all", "keepCurrent", bool),
    ],
)
async def test_a_wrong_type_is_named_and_never_quoted(
    http: httpx.AsyncClient,
    service: ServiceProcess,
    person: Person,
    path: str,
    field: str,
    right: Any,
) -> None:
    """No type is bent into another, and neither answer nor log repeats the value."""
    for value in WRONG:
        if isinstance(value, right):
            continue
        body = {"email": "a@example.com", "password": "x", field: value}
        answer = await http.post(path, json=body, headers=person.bearer)
        assert (answer.status_code, error_of(answer)) == (400, "bad_request"), value
        assert [row["field"] for row in answer.json()["error"]["details"]] == [field]
        assert "SeCrEt" not in answer.text
        assert "17171717" not in answer.text
    assert "SeCrEt" not in service.output()
    assert (await person.me()).status_code == 200


@pytest.mark.parametrize("body", [{}, {"refreshToken": None}, {"refreshToken": ""}, None])
async def test_logout_without_a_token_gets_the_literal_message(
    http: httpx.AsyncClient, person: Person, body: Any
) -> None:
    """Absent, null, empty or no body at all."""
    answer = await http.post("/auth/logout", json=body, headers=person.bearer)
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "code": "bad_request",
        "message": "Refresh token is required in the body for revocation.",
    }


async def test_unknown_fields_are_ignored_and_the_last_of_two_counts(
    http: httpx.AsyncClient, person: Person
) -> None:
    """So clients may be newer than the service."""
    body = json.dumps({"email": person.email, "password": PASSWORD, "more": {"a": [1e300]}})
    answer = await http.post("/auth/login", content='{"email": "x", ' + body[1:])
    assert answer.status_code == 200


@pytest.mark.parametrize("path", TAKING_BODY)
async def test_a_megabyte_is_too_large(http: httpx.AsyncClient, person: Person, path: str) -> None:
    """413, with and without a Content-Length that says so; 65,536 bytes are still read."""

    async def chunks() -> Any:
        yield b'{"email": "a@example.com", "password": "'
        for _ in range(16):
            yield b"x" * 65_536
        yield b'"}'

    body = {"email": "a@example.com", "password": "x" * 1_000_000}
    announced = await http.post(path, json=body, headers=person.bearer)
    chunked = await http.post(path, content=chunks(), headers=person.bearer)
    for answer in (announced, chunked):
        assert (answer.status_code, error_of(answer)) == (413, "payload_too_large")
    fitting = b'{"x": "' + b"x" * (65_536 - 9) + b'"}'
    assert len(fitting) == 65_536
    assert (await post(http, person, path, fitting)).status_code in (200, 400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["email", "password", "refreshToken", "keepCurrent", "other"])
BODIES = st.binary(max_size=64) | st.builds(
    lambda body: json.dumps(body).encode(),
    JSON | st.dictionaries(FIELDS, JSON | st.sampled_from(["osr_", "a@b", "\ud800", "\0"])),
)
STATUSES = {
    "/auth/signup": {201, 400},
    "/auth/login": {400, 401},
    "/auth/refresh": {400, 401},
    "/auth/logout": {400},
    "/auth/logout/all": {200, 400, 401},
}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=BODIES)
def test_any_body_gets_a_documented_answer(shared_service: ServiceProcess, content: bytes) -> None:
    """Never a 500, and always the one shape, on each route that takes a body."""
    with httpx.Client(base_url=shared_service.url) as client:
        for path, statuses in STATUSES.items():
            headers = {"Authorization": f"Bearer {_token(client, shared_service)}"}
            answer = client.post(path, content=content, headers=headers)
            assert answer.status_code in statuses
            if answer.status_code >= 400:
                error_of(answer)


_tokens: dict[str, str] = {}


def _token(client: httpx.Client, service: ServiceProcess) -> str:
    """An access token; its session may have been ended by an example before."""
    if service.url not in _tokens:
        body = {"email": "fuzz@example.com", "password": PASSWORD}
        answer = client.post("/auth/signup", json=body)
        if answer.status_code != 201:
            answer = client.post("/auth/login", json=body)
        _tokens[service.url] = answer.json()["accessToken"]
    return _tokens[service.url]
