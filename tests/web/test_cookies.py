"""Cookie mode: who gets the refresh token as a cookie, whose cookie counts, and what clears it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, PATIENT, Person, ServiceProcess, sign_up

from tests.authentication.test_password_change import NEW
from tests.support.living import living
from tests.support.two_factor import Holder, new_holder
from tests.web.wire import error_of

APP = "https://app.example"
MODE = {"X-Session-Mode": "cookie"}
PROXY = "127.0.0.2"
FAR = {"X-Forwarded-For": "203.0.113.7"}
TLS = {**FAR, "X-Forwarded-Proto": "https"}
TWO_PROXIES = {"X-Forwarded-For": "203.0.113.7, 10.1.1.1"}
SECURE, PLAIN = "__Host-openshow_refresh", "openshow_refresh"


@pytest.fixture(scope="module")
def shared(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    settings = {
        **PATIENT,
        "SERVICE_COOKIES": "on",
        "SERVICE_ORIGINS": APP,
        "SERVICE_TRUSTED_PROXIES": f"{PROXY}/32,10.0.0.0/8",
    }
    directory = tmp_path_factory.mktemp("cookies")
    service = ServiceProcess(directory, redis_server.url, **settings).start()
    with living("shared", service):
        yield service
    assert service.stop() == 0


def client_at(service: ServiceProcess, address: str, **headers: str) -> httpx.AsyncClient:
    """A client that keeps no cookies, and so sends none but those it is told to."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=service.url, transport=transport, headers=headers)


@pytest.fixture
async def near(shared: ServiceProcess, keys: RedisServer) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody on this machine, with plain http."""
    async with client_at(shared, "127.0.0.1") as client:
        yield client


@pytest.fixture
async def far(shared: ServiceProcess, keys: RedisServer) -> AsyncIterator[httpx.AsyncClient]:
    """A browser elsewhere, behind a proxy that speaks TLS."""
    async with client_at(shared, PROXY, Host="auth.example", **TLS) as client:
        yield client


def cookie_of(answer: httpx.Response) -> tuple[str, str, dict[str, str]]:
    """Name, value and attributes of the one cookie that an answer sets."""
    [line] = answer.headers.get_list("set-cookie")
    pair, *attributes = line.split("; ")
    name, _, value = pair.partition("=")
    return name, value, dict((a.lower().partition("=")[::2]) for a in attributes)


async def in_cookie_mode(client: httpx.AsyncClient) -> tuple[Person, str]:
    """Log in with the header; the person, and the value of the cookie."""
    person = await sign_up(client)
    answer = await login(person, MODE)
    client.cookies.clear()
    assert answer.status_code == 200
    return person.holding(answer.json()), cookie_of(answer)[1]


async def login(person: Person, headers: dict[str, str]) -> httpx.Response:
    body = {"email": person.email, "password": PASSWORD}
    answer = await person.client.post("/auth/login", json=body, headers=headers)
    person.client.cookies.clear()
    return answer


async def send(
    client: httpx.AsyncClient, path: str, cookie: str | None, body: Any = None, **headers: str
) -> httpx.Response:
    """Call with this Cookie header. No body is none at all."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if cookie is not None:
        sent["Cookie"] = cookie
    answer = await client.post(path, headers=sent, **({} if body is None else {"json": body}))
    client.cookies.clear()
    return answer


async def test_the_cookie(far: httpx.AsyncClient) -> None:
    """No script reads it, only https carries it, no other site sends it, no subdomain sets it."""
    person, _ = await in_cookie_mode(far)
    answer = await login(person, MODE)
    name, value, attributes = cookie_of(answer)
    assert (name, value[:4]) == (SECURE, "osr_")
    life = int(attributes.pop("max-age"))
    assert attributes == {"path": "/", "httponly": "", "secure": "", "samesite": "lax"}
    assert "refreshToken" not in answer.json()
    assert answer.headers["cache-control"] == "no-store"
    me = await far.get("/auth/me", headers=person.holding(answer.json()).bearer)
    session = me.json()["session"]
    ends = datetime.fromisoformat(session["expiresAt"]) - datetime.fromisoformat(
        session["createdAt"]
    )
    assert abs(ends - timedelta(seconds=life)) <= timedelta(seconds=1)


async def test_every_call_that_gives_tokens(near: httpx.AsyncClient) -> None:
    """Each gives the cookie to who asks for it, with the rest of its body; else the body has it."""
    holder: Holder = await new_holder(near)
    person, token = await in_cookie_mode(near)
    await holder.enrol()
    challenge = {"challengeId": await holder.challenge(), "code": holder.phone.code(1)}
    email = {"email": "a" + person.email, "password": PASSWORD}
    proof = {"password": PASSWORD, "refreshToken": token}
    change = {"currentPassword": PASSWORD, "newPassword": NEW}
    for path, body, status in (
        ("/auth/signup", email, 201),
        ("/auth/login", email, 200),
        ("/auth/login/2fa", challenge, 200),
        ("/auth/reauthenticate", proof, 200),
        ("/auth/password/change", change, 200),
    ):
        answer = await send(near, path, None, body, **MODE, **person.bearer)
        assert answer.status_code == status, (path, answer.text)
        assert "refreshToken" not in answer.json()
        name, value, attributes = cookie_of(answer)
        assert (name, value[:4]) == (PLAIN, "osr_")
        assert "secure" not in attributes
    refreshed = await send(near, "/auth/refresh", None, {"refreshToken": value}, **MODE)
    assert (refreshed.status_code, "refreshToken" in refreshed.json()) == (200, False)
    for mode in ("none", "Cookie", "cookie, cookie"):
        plain = await login(await sign_up(near), {"X-Session-Mode": mode})
        assert plain.json()["refreshToken"]
        assert "set-cookie" not in plain.headers


async def test_a_cookie_is_answered_by_cookie(far: httpx.AsyncClient) -> None:
    """Refresh, proof and logout, with no header and no body; the token in the body goes first."""
    person, first = await in_cookie_mode(far)
    rotated = await send(far, "/auth/refresh", f"a=b; {SECURE}={first}; c=d", Origin=APP)
    assert rotated.status_code == 200
    assert "refreshToken" not in rotated.json()
    second = cookie_of(rotated)[1]
    proof = {"password": PASSWORD, "refreshToken": None}
    bearer = person.bearer
    proved = await send(
        far, "/auth/reauthenticate", f"{SECURE}={second}", proof, Origin=APP, **bearer
    )
    assert (proved.status_code, "refreshToken" in proved.json()) == (200, False)
    third = cookie_of(proved)[1]
    own = await login(person, {})
    in_body = {"refreshToken": own.json()["refreshToken"]}
    answer = await send(far, "/auth/refresh", f"{SECURE}={third}", in_body)
    assert answer.json()["refreshToken"]
    assert "set-cookie" not in answer.headers
    out = await send(far, "/auth/logout", f"{SECURE}={third}", {"refreshToken": ""}, Origin=APP,
                     **person.bearer)  # fmt: skip
    assert (out.status_code, out.content) == (204, b"")
    name, value, attributes = cookie_of(out)
    assert (name, value, attributes["max-age"]) == (SECURE, "", "0")
    assert {"secure", "httponly", "path"} <= set(attributes)


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ([("Origin", APP)], True),
        ([("Origin", "https://auth.example")], True),  # its own, as the browser sees it
        ([("Origin", "https://auth.example"), ("Host", "AUTH.example:443")], True),
        ([], False),
        ([("Origin", "null")], False),
        ([("Origin", "")], False),
        ([("Origin", "http://auth.example")], False),
        ([("Origin", "https://auth.example:8443")], False),
        ([("Origin", "https://evil.auth.example")], False),
        ([("Origin", "https://evil.example"), ("Sec-Fetch-Site", "same-origin")], False),
        ([("Origin", "https://evil.example"), ("X-Forwarded-Host", "evil.example")], False),
        ([("Origin", "https://evil.example"), ("X-Session-Mode", "cookie")], False),
        ([("Origin", APP), ("Origin", APP)], False),
        ([("Origin", f"{APP}, {APP}")], False),
        ([("Referer", f"{APP}/page")], False),
    ],
)
async def test_whose_page_may_use_the_cookie(
    far: httpx.AsyncClient, headers: list[tuple[str, str]], is_allowed: bool
) -> None:
    """That of the service's own origin and of those named; the session lives on otherwise."""
    person, token = await in_cookie_mode(far)
    sent = [("Cookie", f"{SECURE}={token}"), *headers]
    proof = {"password": PASSWORD}
    if not is_allowed:
        bearer = ("Authorization", person.bearer["Authorization"])
        for path, body in (("refresh", {}), ("logout", {}), ("reauthenticate", proof)):
            answer = await far.post(f"/auth/{path}", json=body, headers=[*sent, bearer])
            assert (answer.status_code, error_of(answer)) == (403, "origin_not_allowed"), path
            assert "set-cookie" not in answer.headers
        assert (await person.refresh(token)).status_code == 200  # not spent
    else:
        assert (await far.post("/auth/refresh", headers=sent)).status_code == 200
    far.cookies.clear()


async def test_the_session_has_ended_before_the_origin_is_judged(far: httpx.AsyncClient) -> None:
    """401 comes before 403, as everywhere."""
    person, token = await in_cookie_mode(far)
    await person.log_out(token)
    proof = {"password": PASSWORD}
    answer = await send(
        far, "/auth/reauthenticate", f"{SECURE}={token}", proof, Origin="null", **person.bearer
    )
    assert error_of(answer) == "unauthorized"


async def test_the_scheme_that_a_proxy_tells(shared: ServiceProcess, keys: RedisServer) -> None:
    """Believed from trusted proxies, hop by hop, and from nobody else."""
    for address, more, scheme in (
        (PROXY, {"X-Forwarded-Proto": "https"}, "https"),
        (PROXY, {}, "http"),
        (PROXY, {"X-Forwarded-Proto": "ftp"}, "http"),
        (PROXY, {"X-Forwarded-Proto": "https, http", **TWO_PROXIES}, "https"),
        (PROXY, {"X-Forwarded-Proto": "https, http"}, "http"),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, "http"),
    ):  # fmt: skip
        headers = {**FAR, **more, "Host": "auth.example"}
        async with client_at(shared, address, **headers) as client:
            _, token = await in_cookie_mode(client)
            cookie = f"{SECURE}={token}"
            other = {"http": "https", "https": "http"}[scheme]
            wrong = await send(client, "/auth/refresh", cookie, Origin=f"{other}://auth.example")
            right = await send(client, "/auth/refresh", cookie, Origin=f"{scheme}://auth.example")
            assert (wrong.status_code, right.status_code) == (403, 200), (address, more)


@pytest.mark.parametrize(
    ("address", "headers", "name"),
    [
        ("127.0.0.1", {"Host": "localhost:8000"}, PLAIN),
        ("127.0.0.1", {"Host": "[::1]:8000"}, PLAIN),
        ("127.0.0.1", {"Host": "auth.example"}, SECURE),
        ("127.0.0.1", {"Host": "localhost.evil.example"}, SECURE),
        ("127.0.0.1", {"Host": "127.0.0.1.evil.example"}, SECURE),
        (PROXY, {"Host": "localhost", **FAR}, SECURE),
        (PROXY, {"Host": "localhost", "X-Forwarded-Proto": "https"}, SECURE),
        (PROXY, {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"}, PLAIN),
    ],
)
async def test_without_tls_on_loopback_alone(
    shared: ServiceProcess, keys: RedisServer, address: str, headers: dict[str, str], name: str
) -> None:
    """There the cookie has another name and no Secure, and each name is read at its place only."""
    async with client_at(shared, address, **headers) as client:
        person = await sign_up(client)
        answer = await login(person, MODE)
        found, token, attributes = cookie_of(answer)
        assert (found, "secure" in attributes) == (name, name == SECURE)
        other = PLAIN if name == SECURE else SECURE
        unread = await send(client, "/auth/refresh", f"{other}={token}", Origin=APP)
        assert (unread.status_code, error_of(unread)) == (400, "bad_request")
        read = await send(client, "/auth/refresh", f"{name}={token}", Origin=APP)
        assert (read.status_code, cookie_of(read)[0]) == (200, name)


async def test_cookies_that_are_none(far: httpx.AsyncClient) -> None:
    """Two of the name are 401; none is what a missing token always was, and 401 if announced."""
    person, token = await in_cookie_mode(far)
    bearer, cookie = person.bearer, f"{SECURE}={token}"
    for twice in (f"{cookie}; {cookie}", f"{SECURE}=x; {cookie}", f"{cookie};{SECURE}="):
        for path, body in (("refresh", {}), ("logout", {}), ("reauthenticate", {"password": "x"})):
            answer = await send(far, f"/auth/{path}", twice, body, Origin=APP, **bearer)
            assert (answer.status_code, error_of(answer)) == (401, "invalid_refresh_token")
    missing = await send(far, "/auth/refresh", "a=b", Origin=APP)
    assert missing.json()["error"]["message"] == "The field refreshToken is required."
    announced = await send(far, "/auth/refresh", None, Origin=APP, **MODE)
    assert (announced.status_code, error_of(announced)) == (401, "invalid_refresh_token")
    none = await send(far, "/auth/logout", f"{SECURE}=", {}, Origin=APP, **bearer)
    literal = "Refresh token is required in the body for revocation."
    assert (none.status_code, none.json()["error"]["message"]) == (400, literal)
    number = await send(far, "/auth/refresh", cookie, {"refreshToken": 7}, Origin=APP)
    assert error_of(number) == "bad_request"
    assert (await person.refresh(token)).status_code == 200


async def test_racing_tabs_get_the_same_cookie(far: httpx.AsyncClient) -> None:
    """Eight at once, and a ninth a second later: equal to the letter, so none can lose."""
    _, token = await in_cookie_mode(far)
    refresh = [send(far, "/auth/refresh", f"{SECURE}={token}", Origin=APP) for _ in range(8)]
    answers = await asyncio.gather(*refresh)
    await asyncio.sleep(1.1)  # what would be counted from now would differ
    answers.append(await send(far, "/auth/refresh", f"{SECURE}={token}", Origin=APP))
    assert [answer.status_code for answer in answers] == [200] * 9
    assert len({answer.headers["set-cookie"] for answer in answers}) == 1


async def test_only_a_logout_clears_it(far: httpx.AsyncClient) -> None:
    """A refusal never does: it may come late, when another tab has a newer cookie."""
    person, token = await in_cookie_mode(far)
    cookie = f"{SECURE}={token}"
    out = await send(far, "/auth/logout", cookie, {}, Origin=APP, **person.bearer)
    assert (out.status_code, cookie_of(out)[1]) == (204, "")
    late = await send(far, "/auth/refresh", cookie, Origin=APP, **MODE)
    assert error_of(late) == "invalid_refresh_token"
    again = await send(far, "/auth/logout", cookie, {}, Origin=APP, **person.bearer)
    assert error_of(again) == "session_not_found"
    person, token = await in_cookie_mode(far)
    by_body = await person.log_out(token)
    assert by_body.status_code == 204
    for answer in (late, again, by_body):
        assert "set-cookie" not in answer.headers


async def test_a_page_of_another_site_is_told_why(far: httpx.AsyncClient) -> None:
    """Before anything happens: the browser would not keep the cookie, or send it."""
    person = await sign_up(far)
    third = {**MODE, "Origin": APP, "Sec-Fetch-Site": "cross-site"}
    answer = await login(person, third)
    assert (answer.status_code, error_of(answer)) == (403, "origin_not_allowed")
    assert "another site" in answer.json()["error"]["message"]
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-credentials"] == "true"
    sessions = await far.get("/auth/sessions", headers=person.bearer)
    assert len(sessions.json()["sessions"]) == 1
    for site in ("same-site", "same-origin", "none"):
        assert (await login(person, {**MODE, "Sec-Fetch-Site": site})).status_code == 200
    tokens = await login(person, {"Origin": APP, "Sec-Fetch-Site": "cross-site"})
    assert tokens.json()["refreshToken"]


async def test_the_document_says_so(near: httpx.AsyncClient, http: httpx.AsyncClient) -> None:
    """Header and cookie at the calls that know them, and a token that may be left out; else not."""
    document = (await near.get("/schema/openapi.json")).json()
    refresh = document["paths"]["/auth/refresh"]["post"]
    assert "X-Session-Mode" in {parameter["name"] for parameter in refresh["parameters"]}
    assert "Set-Cookie" in refresh["responses"]["200"]["headers"]
    assert "Set-Cookie" in document["paths"]["/auth/logout"]["post"]["responses"]["204"]["headers"]
    assert document["components"]["schemas"]["RefreshBody"]["required"] == []
    without = (await http.get("/schema/openapi.json")).json()
    assert "X-Session-Mode" not in str(without)
    for name in ("RefreshBody", "LogoutBody", "ReauthenticateBody"):
        assert without["components"]["schemas"][name]["required"] == ["refreshToken"]


async def test_off_by_default(http: httpx.AsyncClient) -> None:
    """The header means nothing, and a cookie is not looked at."""
    person = await sign_up(http)
    answer = await login(person, MODE)
    token = answer.json()["refreshToken"]
    assert "set-cookie" not in answer.headers
    for name in (SECURE, PLAIN):
        refused = await send(http, "/auth/refresh", f"{name}={token}", {}, Origin=APP)
        assert (refused.status_code, error_of(refused)) == (400, "bad_request")
