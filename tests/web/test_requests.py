"""What is read of a request: bodies to the byte, media types, blanks around credentials."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tools.testbed.service_process import Person

from service.web.limits import BODY_LIMIT
from tests.web.wire import Wire, error_of


def body_of(length: int) -> bytes:
    """A JSON object of so many bytes, which names a refresh token that is none."""
    start, end = b'{"refreshToken": "x", "more": "', b'"}'
    return start + b"x" * (length - len(start) - len(end)) + end


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 8192):
        yield body[start : start + 8192]


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_largest_body(http: httpx.AsyncClient, chunked: bool) -> None:
    """65,536 bytes are read to the last, one more is 413, with and without a length."""
    assert BODY_LIMIT == 65_536
    for length, expected in (
        (65_535, (401, "invalid_refresh_token")),
        (65_536, (401, "invalid_refresh_token")),
        (65_537, (413, "payload_too_large")),
    ):
        body = body_of(length)
        assert len(body) == length
        content = in_chunks(body) if chunked else body
        answer = await http.post(
            "/auth/refresh", content=content, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, error_of(answer)) == expected, length


@pytest.mark.parametrize(
    ("media_type", "taken"),
    [
        ("application/json", True),
        (" application/json\t", True),
        ("application/json ; charset=utf-8", True),
        ("Application/JSON;charset=utf-8", True),
        ("application/problem+json", True),
        (" application/merge-patch+JSON ;x=y", True),
        ("", True),
        (";charset=utf-8", True),
        ("text/x+json", False),
        ("text/json", False),
        ("application/jsonx", False),
        ("application/json-seq", False),
        ("application/x+jsonx", False),
        ("application/x+json " + ";" * 300, False),
        ("xapplication/json", False),
        ("application/ json", False),
    ],
)
def test_media_types(wire: Wire, media_type: str, taken: bool) -> None:
    """JSON and what is built on it in `application/`, with any blanks, case and parameters."""
    body = b'{"refreshToken": "x"}'
    headers = (f"Content-Type: {media_type}", f"Content-Length: {len(body)}")
    answer = wire.ask("POST /auth/refresh", *headers, body=body)
    expected = (401, "invalid_refresh_token") if taken else (415, "unsupported_media_type")
    assert (answer.status_code, error_of(answer)) == expected


@pytest.mark.parametrize("before", ["Bearer ", "Bearer   ", "Bearer \t", "bEARER "])
@pytest.mark.parametrize("after", ["", " ", " \t "])
async def test_blanks_around_a_token(wire: Wire, person: Person, before: str, after: str) -> None:
    """They are none of it (RFC 6750, section 2.1, and RFC 9110, section 5.5)."""
    header = f"Authorization: {before}{person.tokens['accessToken']}{after}"
    assert wire.ask("GET /auth/me", header).status_code == 200
