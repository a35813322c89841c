"""Headers that are there more than once, and what a header's text is."""

import httpx
import pytest
from tools.testbed.service_process import Person, sign_up

from tests.web.wire import Wire, error_of

CHALLENGE = 'Bearer realm="openshow"'
INVALID = f'{CHALLENGE}, error="invalid_token"'


async def test_two_credentials_are_none(
    http: httpx.AsyncClient, wire: Wire, person: Person
) -> None:
    """401 for two of whatever kind, in whatever order, the same one twice included."""
    other = await sign_up(http)
    ann, bob = (f"Bearer {who.tokens['accessToken']}" for who in (person, other))
    for several, challenge in (
        ([ann, bob], INVALID),
        ([ann, ann], INVALID),
        ([ann, "Basic YTpi"], INVALID),
        ([ann, ""], INVALID),
        ([f"{ann}, {bob}"], INVALID),
        (["Basic YTpi", ann], CHALLENGE),
        (["", ann], CHALLENGE),
    ):
        for call in ("GET /auth/me", "POST /auth/logout/all", "GET /auth/sessions"):
            answer = wire.ask(call, *[f"Authorization: {value}" for value in several])
            assert (answer.status_code, error_of(answer)) == (401, "unauthorized"), several
            assert answer.headers["www-authenticate"] == challenge, several
    assert wire.ask("GET /auth/me", f"aUTHORIZATION:{ann}").status_code == 200
    assert (await person.me()).status_code == 200


async def test_two_media_types_are_none(wire: Wire) -> None:
    """415 unless there is one, and it is JSON."""
    for several in (
        ["application/json", "text/plain"],
        ["text/plain", "application/json"],
        ["application/json", "application/json"],
    ):
        headers = [f"Content-Type: {value}" for value in several]
        answer = wire.ask("POST /auth/login", *headers, "Content-Length: 2", body=b"{}")
        assert (answer.status_code, error_of(answer)) == (415, "unsupported_media_type")
    names = ["X-Request-Id: a", "X-Request-Id: b"]
    assert len(wire.ask("GET /health/live", *names).headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Zoë 東京/1".encode(), "Zoë 東京/1"),
        ("Zoë/1".encode("latin-1"), "Zoë/1"),
        (b"\xff\xfe", "ÿþ"),
        (b"curl/8", "curl/8"),
    ],
)
async def test_the_text_of_a_user_agent(person: Person, sent: bytes, shown: str) -> None:
    """UTF-8 where it is that, else Latin-1."""
    client = person.client
    body = {"email": person.email, "password": "correct horse battery"}
    answer = await client.post("/auth/login", json=body, headers=[(b"User-Agent", sent)])
    bearer = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
    session = (await client.get("/auth/me", headers=bearer)).json()["session"]
    assert session["userAgent"] == shown
