"""Operators' HTTP: keys and scopes, changes with a reason and one event, pages by key."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD

from service.api_keys import tokens
from service.api_keys.keys import SCOPES
from service.errors import KeyServiceUnavailable
from service.rate_limits import RateLimits
from tests.operators.commands import command
from tests.support.collector import collecting
from tests.support.looking import ON_VALKEY, events
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.web.admin_app import TCP, UNIX, AdminApp, running_app
from tests.web.wire import error_of

pytestmark = [
    ON_VALKEY,
    pytest.mark.usefixtures("commands_beside"),
    pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning"),
]
WHY = {"reason": "ticket 4711"}
PARTY = {"clientId": "shop", "backchannelLogoutUri": "https://shop.example/logout"}


@pytest.fixture
async def app(keys: RedisServer, tmp_path: Path) -> AsyncIterator[AdminApp]:
    async with running_app(keys, tmp_path, TCP) as app:
        yield app


async def new_key(*scopes: str) -> tuple[str, str]:
    """The text of a new key with these scopes, and its id."""
    made = await command("api-keys", "create", "a test", "--scopes", ",".join(scopes), "--json")
    assert made.code == 0, made.err
    return made.document["key"], made.document["apiKey"]["id"]


async def sign_up(app: AdminApp, name: str = "ann") -> Any:
    body = {"email": f"{name}@example.com", "password": PASSWORD}
    return (await app.client(None).post("/auth/signup", json=body)).raise_for_status().json()


CALLS = {
    "GET /admin/users": "users.read",
    "GET /admin/users/{user}": "users.read",
    "POST /admin/users/{user}/disable": "users.write",
    "POST /admin/users/{user}/enable": "users.write",
    "POST /admin/users/{user}/unlock": "users.write",
    "POST /admin/users/{user}/logout": "sessions.end",
    "POST /admin/users/{user}/2fa/disable": "users.write",
    "POST /admin/users/{user}/password-reset": "users.write",
    "DELETE /admin/users/{user}": "users.write",
    "DELETE /admin/sessions/{session}?user={user}": "sessions.end",
    "POST /admin/cutoff": "sessions.end",
    "GET /admin/events": "events.read",
    "GET /admin/guards": "events.read",
    "POST /admin/relying-parties": "sessions.end",
    "GET /admin/relying-parties": "events.read",
    "DELETE /admin/relying-parties/{party}": "sessions.end",
}


async def ask(client: httpx.AsyncClient, call: str, body: Any, **ids: str) -> httpx.Response:
    method, path = call.split()
    path = path.format(**ids)
    return await client.request(method, path, json=None if method == "GET" else body)


async def test_each_call_asks_for_its_scope(app: AdminApp) -> None:
    """None is 401 and says so, a wrong one too; any other scope is 403 and names the right one."""
    user = "00" * 16
    ids = {"user": user, "session": "00" * 12, "party": "shop"}
    others = {scope: (await new_key(*[s for s in SCOPES if s != scope]))[0] for scope in SCOPES}
    for call, scope in CALLS.items():
        nobody = await ask(app.client("admin"), call, WHY, **ids)
        assert (nobody.status_code, error_of(nobody)) == (401, "unauthorized"), call
        assert nobody.headers["www-authenticate"] == 'Bearer realm="openshow"'
        wrong = await ask(app.client("admin", "osk_wrong"), call, WHY, **ids)
        assert (wrong.status_code, error_of(wrong)) == (401, "unauthorized"), call
        assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
        for body in (WHY, {}):  # before anything is said about the body
            answer = await ask(app.client("admin", others[scope]), call, body, **ids)
            assert (answer.status_code, error_of(answer)) == (403, "insufficient_scope"), call
            challenge = answer.headers["www-authenticate"]
            assert f'error="insufficient_scope", scope="{scope}"' in challenge


async def test_changes(app: AdminApp, keys: RedisServer) -> None:
    """Each takes effect, is one event with key, address and reason; repeated it is none."""
    ann = await sign_up(app)
    user = ann["user"]["id"]
    key, key_id = await new_key(*SCOPES)
    client, public = app.client("admin", key), app.client(None)
    bearer = {"Authorization": f"Bearer {ann['accessToken']}"}
    login = {"email": ann["user"]["email"], "password": PASSWORD}

    async def done(call: str, answer: object = 204) -> None:
        for _ in range(2):
            assert (await ask(client, call, WHY, user=user)).status_code == answer, call

    await done("POST /admin/users/{user}/disable")
    assert (await public.get("/auth/me", headers=bearer)).status_code == 401
    assert error_of(await public.post("/auth/login", json=login)) == "account_disabled"
    shown = (await client.get(f"/admin/users/{user}")).json()
    assert shown["disabledAt"]
    assert shown["sessions"] == []
    await done("POST /admin/users/{user}/enable")
    again = (await public.post("/auth/login", json=login)).json()
    session = again["sessionId"]
    shown = (await client.get(f"/admin/users/{user}")).json()
    assert [each["id"] for each in shown["sessions"]] == [session]
    await done(f"DELETE /admin/sessions/{session}?user={{user}}")
    bearer = {"Authorization": f"Bearer {again['accessToken']}"}
    assert (await public.get("/auth/me", headers=bearer)).status_code == 401
    await public.post("/auth/login", json=login)
    for revoked in (1, 0):
        answer = await client.post(f"/admin/users/{user}/logout", json=WHY)
        assert (answer.status_code, answer.json()) == (200, {"revoked": revoked})
    for _ in range(10):
        await public.post("/auth/login", json=login | {"password": "not the password"})
    assert (await public.post("/auth/login", json=login)).status_code == 429
    assert (await client.get(f"/admin/users/{user}")).json()["limits"]
    await done("POST /admin/users/{user}/unlock")
    assert (await public.post("/auth/login", json=login)).status_code == 200
    answer = await client.post(f"/admin/users/{user}/password-reset", json=WHY)
    assert (answer.status_code, error_of(answer)) == (409, "mail_off")
    await done("POST /admin/users/{user}/2fa/disable")
    assert (await client.request("DELETE", f"/admin/users/{user}", json=WHY)).status_code == 204
    gone = await client.request("DELETE", f"/admin/users/{user}", json=WHY)
    assert (gone.status_code, error_of(gone)) == (404, "user_not_found")

    told = [row for row in events(keys, bytes.fromhex(user)) if "by" in row]
    assert [row["type"] for row in told] == [
        "user.disabled", "user.enabled", "session.revoked", "user.sessionsEnded", "user.unlocked",
        "user.deleted",
    ]  # fmt: skip
    for row in told:
        assert (row["by"], row["reason"]) == (f"admin:{key_id}", WHY["reason"])
        assert (row["ip"], len(row["request"])) == ("192.0.2.7", 16)


async def test_everybody(app: AdminApp, keys: RedisServer) -> None:
    """A cut-off needs its word; then nobody of before is in."""
    ann, bob = await sign_up(app), await sign_up(app, "bob")
    key, key_id = await new_key("sessions.end")
    client = app.client("admin", key)
    for confirm in ("", "yes", "Everybody", None, 1):
        answer = await client.post("/admin/cutoff", json={"confirm": confirm} | WHY)
        assert (answer.status_code, error_of(answer)) == (400, "bad_request")
    answer = await client.post("/admin/cutoff", json={"confirm": "everybody"} | WHY)
    assert answer.status_code == 204
    for person in (ann, bob):
        bearer = {"Authorization": f"Bearer {person['accessToken']}"}
        assert (await app.client(None).get("/auth/me", headers=bearer)).status_code == 401
    with keys.client() as redis:
        rows = [row for each in redis.scan_iter("events:*") for _, row in redis.xrange(each)]
    cut_off = [row for row in rows if row[b"type"] == b"sessions.cutOff"]
    assert len(cut_off) == 64
    assert {row[b"by"] for row in cut_off} == {f"admin:{key_id}".encode()}


async def test_no_change_without_a_reason(app: AdminApp) -> None:
    """Whatever the change: 400, before anybody looks whom it is about, and nothing is changed."""
    key, _ = await new_key(*SCOPES)
    client = app.client("admin", key)
    changes = [call for call in CALLS if not call.startswith("GET")]
    ids = {"user": "00" * 16, "session": "00" * 12, "party": "shop"}
    reasons: list[Any] = [None, "", " ", 7, "a\nb", "x" * 501]
    for reason in reasons:
        for call in changes:
            body = {"confirm": "everybody"} | PARTY | ({} if reason is None else {"reason": reason})
            answer = await ask(client, call, body, **ids)
            assert (answer.status_code, error_of(answer)) == (400, "bad_request"), call
            assert answer.json()["error"]["details"][0]["field"] == "reason"
    for call in changes:
        answer = await ask(client, call, [], **ids)
        assert (answer.status_code, error_of(answer)) == (400, "bad_request"), call


async def test_who_is_not_there(app: AdminApp) -> None:
    """404 `user_not_found`, also for what is no id; other media types and methods as everywhere."""
    key, _ = await new_key(*SCOPES)
    client = app.client("admin", key)
    for user in ("00" * 16, "0" * 31, "ann@example.com", "x", "A" * 32):
        for call in CALLS:
            if "{user}" in call:
                answer = await ask(client, call, WHY, user=user, session="00" * 12)
                assert (answer.status_code, error_of(answer)) == (404, "user_not_found"), call
    plain = await client.post("/admin/cutoff", content="x", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415
    assert (await client.put("/admin/users")).status_code == 405
    assert (await client.get("/admin/nothing")).status_code == 404
    big = await app.client("admin").post("/admin/cutoff", content=b"x" * 70_000)
    assert big.status_code == 413


async def test_pages(app: AdminApp) -> None:
    """Accounts come by id, each once; an address finds its account however it is spelt."""
    people = [(await sign_up(app, f"p{number}"))["user"]["id"] for number in range(5)]
    key, _ = await new_key("users.read", "events.read")
    client = app.client("admin", key)
    for path, size in (("users", 2), ("events", 3)):
        found, after = [], ""
        while True:
            page = (await client.get(f"/admin/{path}?limit={size}{after}")).json()
            assert set(page) == {path, "next"}
            assert len(page[path]) <= size
            found += page[path]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        if path == "users":
            assert [each["id"] for each in found] == sorted(people)
        else:
            signed_up = [each for each in found if each["type"] == "user.signedUp"]
            assert {each["user"] for each in signed_up} == set(people)
            assert len({each["id"] for each in found}) == len(found) >= 6
    by_address = (await client.get("/admin/users?email=P3%40EXAMPLE.com")).json()
    assert [each["id"] for each in by_address["users"]] == [people[3]]
    assert (await client.get("/admin/users?email=nobody")).json() == {"users": [], "next": None}
    one = await client.get(f"/admin/events?user={people[0]}&type=user.signedUp")
    assert [each["user"] for each in one.json()["events"]] == [people[0]]
    for query in ("limit=0", "limit=1001", "limit=x", "limit=-1", "after=x", "limit=1e2"):
        for path in ("users", "events"):
            answer = await client.get(f"/admin/{path}?{query}")
            assert (answer.status_code, error_of(answer)) == (400, "bad_request"), query


async def test_while_the_keys_are_closed(app: AdminApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the limits is shown, and whoever is known ends sessions; nobody new is let in."""
    user = (await sign_up(app))["user"]["id"]
    (key, _), (other, _) = await new_key("users.read", "sessions.end"), await new_key("users.read")
    client = app.client("admin", key)
    assert (await client.get(f"/admin/users/{user}")).json()["limits"] == []

    def closed(*_: object) -> bytes:
        raise KeyServiceUnavailable("the digest key is not open yet")

    monkeypatch.setattr(RateLimits, "subject", closed)
    shown = await client.get(f"/admin/users/{user}")
    assert (shown.status_code, shown.json()["limits"]) == (200, None)
    assert (await client.post(f"/admin/users/{user}/logout", json=WHY)).json() == {"revoked": 1}
    assert (await app.client("admin", other).get("/admin/users")).status_code == 503


async def test_it_shows_what_the_command_shows(app: AdminApp, keys: RedisServer) -> None:
    """The same fields, with the same values, of an account and of events."""
    user = (await sign_up(app))["user"]["id"]
    key, _ = await new_key("users.read", "events.read")
    answer = (await app.client("admin", key).get(f"/admin/users/{user}")).json()
    assert answer == (await command("users", "show", user, "--json")).document
    answer = (await app.client("admin", key).get("/admin/events?limit=2")).json()
    assert len(answer["events"]) == 2
    assert answer == (await command("events", "list", "--limit", "2", "--json")).document


async def test_nothing_of_it_is_elsewhere(app: AdminApp) -> None:
    """The public socket has no call of operators, and theirs none of people; each its document."""
    key, _ = await new_key(*SCOPES)
    for call in CALLS:
        for listener in (None, "public", "operations"):
            answer = await ask(
                app.client(listener, key), call, WHY, user="0", session="0", party="0"
            )
            assert answer.status_code == 404, call
    client = app.client("admin", key)
    for path in ("/auth/me", "/metrics", "/health/ready", "/.well-known/jwks.json", "/account"):
        assert (await client.get(path)).status_code == 404
    document = (await app.client("admin").get("/schema/openapi.json")).json()
    described = {
        f"{method.upper()} {path}" for path, calls in document["paths"].items() for method in calls
    }
    ours = {
        call.partition("?")[0].format(user="{id}", session="{id}", party="{id}") for call in CALLS
    }
    assert described - {"GET /schema", "GET /schema/openapi.json"} == ours
    for path, calls in document["paths"].items():
        for operation in calls.values():
            assert ("403" in operation["responses"]) == path.startswith("/admin")
    assert "text/html" in (await app.client("admin").get("/schema")).headers["content-type"]


async def test_wrong_keys_are_limited(app: AdminApp) -> None:
    """A hundred of a network; keys that are known go on, and what is no key costs nothing."""
    key, _ = await new_key("users.read")
    client = app.client("admin", key)
    assert (await client.get("/admin/users")).status_code == 200
    statuses = []
    for _ in range(102):
        answer = await app.client("admin", tokens.mint().text).get("/admin/users")
        statuses.append(answer.status_code)
    assert statuses == [401] * 100 + [429] * 2
    assert int(answer.headers["retry-after"]) > 0
    assert (await app.client("admin", "osk_junk").get("/admin/users")).status_code == 401
    assert (await client.get("/admin/users")).status_code == 200


async def test_keys_are_managed_on_a_unix_socket_only(keys: RedisServer, tmp_path: Path) -> None:
    """And by a key that can do as much itself; elsewhere these calls are not there."""
    body = {"name": "a gateway", "scopes": ["introspect"], "reason": "new"}
    async with running_app(keys, tmp_path, TCP) as app:
        key, _ = await new_key(*SCOPES)
        assert (await app.client("admin", key).get("/admin/api-keys")).status_code == 404
        assert (
            await app.client("admin", key).post("/admin/api-keys", json=body)
        ).status_code == 404
    async with running_app(keys, tmp_path, UNIX) as app:
        client = app.client("admin", key)
        assert (await app.client("admin").get("/admin/api-keys")).status_code == 401
        made = await client.post(
            "/admin/api-keys", json=body | {"expiresAt": "2030-01-01T00:00:00.000Z"}
        )
        assert made.status_code == 201, made.text
        assert made.headers["cache-control"] == "no-store"
        new = made.json()
        assert new["key"].startswith("osk_")
        listed = (await client.get("/admin/api-keys")).json()
        assert new["apiKey"] in listed["apiKeys"]
        assert "osk_" not in str(listed)
        weak, _ = await new_key("users.read")
        for wrong, expected in (
            ({"scopes": ["introspect"]}, 403),
            ({"scopes": []}, 400),
            ({"scopes": ["*"]}, 400),
            ({"name": ""}, 400),
            ({"reason": ""}, 400),
            ({"expiresAt": "2020-01-01T00:00:00Z"}, 400),
            ({"expiresAt": "soon"}, 400),
        ):
            answer = await app.client("admin", weak).post("/admin/api-keys", json=body | wrong)
            assert answer.status_code == expected, wrong
        path = f"/admin/api-keys/{new['apiKey']['id']}"
        refused = await app.client("admin", weak).request("DELETE", path, json=WHY)
        assert refused.status_code == 403
        for _ in range(2):
            assert (await client.request("DELETE", path, json=WHY)).status_code == 204
        for unknown in ("0" * 16, "x"):
            answer = await client.request("DELETE", f"/admin/api-keys/{unknown}", json=WHY)
            assert (answer.status_code, error_of(answer)) == (404, "api_key_not_found")
        assert (await app.client("admin", new["key"]).get("/admin/users")).status_code == 401
        made = await client.post(
            "/admin/api-keys", json=body | {"expiresAt": "2030-01-01T00:00:00.000Z"}
        )
        brief = app.client("admin", made.json()["key"])
        for later in ({}, {"expiresAt": "2030-01-01T00:00:00.001Z"}):
            answer = await brief.post("/admin/api-keys", json=body | later)
            assert answer.status_code == 400, later


async def test_their_use_cases_are_traced(
    keys: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request of theirs has its use cases inside, as those of clients have."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        async with running_app(keys, tmp_path, TCP, tracing=True, trace_ratio=1.0) as app:
            key, _ = await new_key("users.read")
            answer = await app.client("admin", key).get("/admin/users")
            assert answer.status_code == 200
    (request,) = collector.of("GET /admin/users")
    assert {"ApiKeys.verify", "AccountLookup.page"} <= {*collector.inside(request)}
