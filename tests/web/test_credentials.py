"""E-mail addresses and passwords, as far as clients can see their rules."""

from typing import Any

import httpx
import pytest
from tools.testbed.service_process import PASSWORD, ServiceProcess

from tests.web.wire import error_of


async def signup(http: httpx.AsyncClient, email: Any, password: Any = PASSWORD) -> httpx.Response:
    return await http.post("/auth/signup", json={"email": email, "password": password})


async def login(http: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    return await http.post("/auth/login", json={"email": email, "password": password})


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("x" * 7, (400, "weak_password")),
        ("", (400, "weak_password")),
        ("password123", (400, "weak_password")),
        ("x" * 1025, (400, "bad_request")),
        ("x" * 60_000, (400, "bad_request")),
    ],
)
async def test_passwords_that_are_refused(
    http: httpx.AsyncClient, password: str, expected: tuple[int, str]
) -> None:
    """Too short or too common is weak; too long is a bad request that names the field."""
    answer = await signup(http, "refused@example.com", password)
    assert (answer.status_code, error_of(answer)) == expected
    if expected[1] == "bad_request":
        assert answer.json()["error"]["details"][0]["field"] == "password"
    assert password not in answer.text or not password


@pytest.mark.parametrize(
    "password", ["12 \0 ab\0cd", "üö" * 4, "xy" * 512, "😀😁" * 4, " leading and trailing "]
)
async def test_passwords_that_are_taken(http: httpx.AsyncClient, password: str) -> None:
    """They work at login, every character counts, and another one does not work."""
    email = f"taken{hash(password)}@example.com"
    assert (await signup(http, email, password)).status_code == 201
    assert (await login(http, email, password)).status_code == 200
    for wrong in (password[:-1], password + "x", password.strip() + "."):
        answer = await login(http, email, wrong)
        assert (answer.status_code, error_of(answer)) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "email",
    ["", "x", "@", "a@", "@b.example", "a b@example.com", "a@b@c", "a\0@example.com", "x" * 9000],
)
async def test_addresses_that_are_none(http: httpx.AsyncClient, email: str) -> None:
    """At signup the field is named and not quoted; at login they are simply wrong."""
    answer = await signup(http, email)
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")
    assert [row["field"] for row in answer.json()["error"]["details"]] == ["email"]
    answer = await login(http, email)
    assert (answer.status_code, error_of(answer)) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    ("email", "same"),
    [
        (" Ada.Lovelace@Example.com ", "ADA.LOVELACE@EXAMPLE.COM"),
        ("Jörg@exämple.example", "jo\u0308RG@EXA\u0308MPLE.example"),
        ("ｆｕｌｌ@example.com", "full@example.com"),
    ],
)
async def test_an_address_has_one_account(http: httpx.AsyncClient, email: str, same: str) -> None:
    """Shown as it was given, without outer blanks; found in any case, form and width."""
    answer = await signup(http, email)
    assert (answer.status_code, answer.json()["user"]["email"]) == (201, email.strip())
    again = await login(http, same)
    assert (again.status_code, again.json()["user"]["email"]) == (200, email.strip())
    taken = await signup(http, same)
    assert (taken.status_code, error_of(taken)) == (409, "email_taken")


async def test_unknown_and_wrong_are_one_answer(
    http: httpx.AsyncClient, service: ServiceProcess
) -> None:
    """Nothing but the request's name differs."""
    await signup(http, "known@example.com")
    answers = [
        await login(http, "known@example.com", "wrong one"),
        await login(http, "un@known.io"),
    ]
    assert answers[0].content == answers[1].content
    headers = [dict(answer.headers) | {"x-request-id": "", "date": ""} for answer in answers]
    assert headers[0] == headers[1]


async def test_too_many_wrong_passwords(http: httpx.AsyncClient) -> None:
    """After ten, 429 with a Retry-After in whole seconds, also to the right one."""
    email = "limited@example.com"
    await signup(http, email)
    statuses = [(await login(http, email, "wrong one")).status_code for _ in range(10)]
    assert statuses == [401] * 10
    answer = await login(http, email)
    assert (answer.status_code, error_of(answer)) == (429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 900
