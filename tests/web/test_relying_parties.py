"""Relying parties over operators' HTTP and on the command line, and what they are told of."""

import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD
from tools.testbed.waiting import eventually

from service.redis.keys import BUCKETS, SINK_LEFT_LIFE
from service.relying_parties import following
from service.relying_parties.following import RelyingPartyShippers
from service.relying_parties.parties import RelyingParty
from tests.operators.commands import command
from tests.relying_parties.parties import claims_of
from tests.sinks.receiver import Endpoint, listening
from tests.support.looking import ON_VALKEY
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.web.admin_app import TCP, AdminApp, running_app
from tests.web.test_admin import new_key, sign_up
from tests.web.wire import error_of

pytestmark = [
    ON_VALKEY,
    pytest.mark.usefixtures("commands_beside"),
    pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning"),
]
ISSUER = "https://auth.example.com"
WHY = {"reason": "ticket 4711"}
URI = "https://shop.example/logout"
PATH = "/admin/relying-parties"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
async def app(
    keys: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AdminApp]:
    monkeypatch.setattr(following, "PERIOD", 0.1)
    monkeypatch.setenv("SERVICE_SINK_NETWORKS", "127.0.0.0/8")
    settings = {"issuer": ISSUER, "sink_networks": LOOPBACK}
    async with running_app(keys, tmp_path, TCP, **settings) as app:
        yield app


@pytest.fixture
async def operator(app: AdminApp) -> httpx.AsyncClient:
    """Somebody who may register relying parties, and end sessions."""
    key, _ = await new_key("sessions.end", "events.read", "users.write")
    return app.client("admin", key)


def events_of(keys: RedisServer, type_: str) -> list[dict[bytes, bytes]]:
    with keys.client() as client:
        streams = [f"events:{{{number:02x}}}" for number in range(BUCKETS)]
        rows = [row for stream in streams for _, row in client.xrange(stream)]
    return [row for row in rows if row[b"type"] == type_.encode()]


async def test_register_list_remove(operator: httpx.AsyncClient, keys: RedisServer) -> None:
    """Each is one event; repeated, they succeed and write no second one."""
    body = {"clientId": "shop", "backchannelLogoutUri": URI, "sessionRequired": False} | WHY
    for _ in range(2):
        made = await operator.post(PATH, json=body)
        assert made.status_code == 201, made.text
    party = made.json()
    assert {name: party[name] for name in ("clientId", "backchannelLogoutUri")} == {
        "clientId": "shop", "backchannelLogoutUri": URI,
    }  # fmt: skip
    assert party["sessionRequired"] is False
    assert party["sink"].startswith("party-")
    assert (await operator.get(PATH)).json() == {"relyingParties": [party]}
    listed = await command("relying-parties", "list", "--json")
    assert listed.document == {"relyingParties": [party]}
    for other in ({"backchannelLogoutUri": URI + "2"}, {"sessionRequired": True}):
        answer = await operator.post(PATH, json=body | other)
        assert (answer.status_code, error_of(answer)) == (409, "relying_party_exists")
    for _ in range(2):
        gone = await operator.request("DELETE", f"{PATH}/shop", json=WHY)
        assert (gone.status_code, gone.content) == (204, b"")
    assert (await operator.get(PATH)).json() == {"relyingParties": []}
    for unknown in ("shops", "Shop"):
        answer = await operator.request("DELETE", f"{PATH}/{unknown}", json=WHY)
        assert answer.status_code == 404
    [created] = events_of(keys, "relyingParty.created")
    [removed] = events_of(keys, "relyingParty.removed")
    for event in (created, removed):
        assert (event[b"client"], event[b"user"], event[b"ip"]) == (b"shop", b"", b"192.0.2.7")
        assert event[b"reason"] == WHY["reason"].encode()
        assert event[b"by"].startswith(b"admin:")
    again = (await operator.post(PATH, json=body)).json()
    assert again["sink"] != party["sink"], "it begins anew"


WRONG: dict[str, list[object]] = {
    "clientId": ["", " ", "a b", "a/b", "-a", "é", "x" * 101, 1, None],
    "backchannelLogoutUri": [
        "", "shop.example/logout", "ftp://shop.example/", "https://", "javascript:alert(1)",
        "https://user:secret@shop.example/", "https://shop.example/#f", "https://a b/",
        "https://shop.example/\r\nX: y", "https://127.0.0.2:70000/", "https://é.example/",
        "http://10.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/",
        "https://[::ffff:10.0.0.1]/", "https://0.0.0.0/", f"https://a.example/{'x' * 2048}",
        None,
    ],
    "sessionRequired": ["yes", 1, None],
}  # fmt: skip


async def test_what_cannot_be(operator: httpx.AsyncClient) -> None:
    """400 that names the field and echoes nothing, and nothing is registered."""
    for field, values in WRONG.items():
        for value in values:
            body = {"clientId": "shop", "backchannelLogoutUri": URI} | WHY | {field: value}
            answer = await operator.post(PATH, json=body)
            assert (answer.status_code, error_of(answer)) == (400, "bad_request"), value
            assert answer.json()["error"]["details"][0]["field"] == field
            assert "secret" not in answer.text
    assert (await operator.get(PATH)).json() == {"relyingParties": []}


async def test_who_registers_may_read_events(app: AdminApp) -> None:
    """The app learns whose sessions end: a key that may end sessions is not enough."""
    key, _ = await new_key("sessions.end", "users.read")
    body = {"clientId": "shop", "backchannelLogoutUri": URI} | WHY
    for said in (body, {}):
        refused = await app.client("admin", key).post(PATH, json=said)
        assert (refused.status_code, error_of(refused)) == (403, "insufficient_scope")
        assert 'scope="events.read"' in refused.headers["www-authenticate"]


async def test_commands(app: AdminApp, keys: RedisServer) -> None:
    """They do the same; what is wrong is one line; to remove is a dry run without --yes."""
    create = ("relying-parties", "create", "shop", "--backchannel-logout-uri")
    made = await command(*create, URI, "--reason", "new", "--json")
    assert (made.code, made.document["changed"]) == (0, True), made.err
    assert made.document["relyingParty"]["sessionRequired"] is True
    again = await command(*create, URI)
    assert (again.code, "was registered before" in again.out) == (0, True)
    other = await command(*create, URI, "--no-session-required")
    assert (other.code, "remove it first" in other.err) == (1, True)
    for uri in ("http://10.0.0.1/", "shop"):
        wrong = await command(*create, uri)
        assert (wrong.code, wrong.err.count("\n")) == (2, 1), wrong.err
    assert "shop.example" in (await command("relying-parties", "list")).out
    remove = ("relying-parties", "remove", "shop")
    assert "Nothing was changed" in (await command(*remove)).out
    for changed in (True, False):
        gone = await command(*remove, "--yes", "--reason", "old", "--json")
        assert (gone.code, gone.document["changed"]) == (0, changed)
    assert "There are no" in (await command("relying-parties", "list")).out
    unknown = await command("relying-parties", "remove", "shops", "--yes")
    assert (unknown.code, unknown.err.count("\n")) == (1, 1)
    assert [row[b"by"] for row in events_of(keys, "relyingParty.created")] == [b"cli"]


class Person:
    """Somebody with sessions, as a party sees them."""

    def __init__(self, app: AdminApp, pairs: list[dict[str, Any]], email: str) -> None:
        self.client = app.client(None)
        self.pairs = pairs
        self.email = email
        self.sub = pairs[0]["user"]["id"]

    def sid(self, number: int) -> str:
        session: str = self.pairs[number]["sessionId"]
        return session

    async def call(self, number: int, method: str, path: str, body: Any = None) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {self.pairs[number]['accessToken']}"}
        return await self.client.request(method, path, json=body, headers=bearer)


async def person(app: AdminApp, name: str, sessions: int) -> Person:
    first = await sign_up(app, name)
    email = first["user"]["email"]
    login = {"email": email, "password": PASSWORD}
    answers = [await app.client(None).post("/auth/login", json=login) for _ in range(sessions - 1)]
    return Person(app, [first, *(answer.raise_for_status().json() for answer in answers)], email)


async def log_out(who: Person, operator: httpx.AsyncClient) -> None:
    body = {"refreshToken": who.pairs[0]["refreshToken"]}
    assert (await who.call(0, "POST", "/auth/logout", body)).status_code == 204


async def end_another(who: Person, operator: httpx.AsyncClient) -> None:
    path = f"/auth/sessions/{who.sid(0)}"
    assert (await who.call(1, "DELETE", path)).status_code == 204


async def use_again(who: Person, operator: httpx.AsyncClient) -> None:
    """A spent token comes back, two rotations later: theft."""
    spent = {"refreshToken": who.pairs[0]["refreshToken"]}
    second = (await who.client.post("/auth/refresh", json=spent)).raise_for_status().json()
    await who.client.post("/auth/refresh", json={"refreshToken": second["refreshToken"]})
    answer = await who.client.post("/auth/refresh", json=spent)
    assert error_of(answer) == "refresh_token_reused"


async def log_out_everywhere(who: Person, operator: httpx.AsyncClient) -> None:
    assert (await who.call(0, "POST", "/auth/logout/all")).json() == {"revoked": 3}


async def log_out_elsewhere(who: Person, operator: httpx.AsyncClient) -> None:
    answer = await who.call(2, "POST", "/auth/logout/all", {"keepCurrent": True})
    assert answer.json() == {"revoked": 2}


async def disable(who: Person, operator: httpx.AsyncClient) -> None:
    answer = await operator.post(f"/admin/users/{who.sub}/disable", json=WHY)
    assert answer.status_code == 204


async def delete(who: Person, operator: httpx.AsyncClient) -> None:
    answer = await operator.request("DELETE", f"/admin/users/{who.sub}", json=WHY)
    assert answer.status_code == 204


async def change_password(who: Person, operator: httpx.AsyncClient) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": "another long secret"}
    assert (await who.call(0, "POST", "/auth/password/change", body)).status_code == 200


Act = Callable[[Person, httpx.AsyncClient], Awaitable[None]]
ONE: list[Act] = [log_out, end_another, use_again]
ALL: list[Act] = [log_out_everywhere, disable, delete, change_password]


async def test_what_parties_are_told(app: AdminApp, operator: httpx.AsyncClient) -> None:
    """Each end of a session once: as such where that is required or some stay, else as one."""
    acts = [*ONE, *ALL, log_out_elsewhere]
    async with listening() as strict, listening() as loose:
        for client, endpoint in (("strict", strict), ("loose", loose)):
            body = {
                "clientId": client,
                "backchannelLogoutUri": endpoint.url,
                "sessionRequired": endpoint is strict,
            }
            assert (await operator.post(PATH, json=body | WHY)).status_code == 201
        people = [await person(app, act.__name__.replace("_", "."), 3) for act in acts]
        for act, who in zip(acts, people, strict=True):
            await act(who, operator)
        per_session: set[tuple[str, str | None]] = set()
        per_user: set[tuple[str, str | None]] = set()
        for act, who in zip(acts, people, strict=True):
            ended = 1 if act in ONE else 2 if act is log_out_elsewhere else 3
            per_session |= {(who.sub, who.sid(number)) for number in range(ended)}
            as_one = [(who.sub, None)]
            each = [(who.sub, who.sid(number)) for number in range(ended)]
            per_user |= set(as_one if act in ALL else each)
        jwks = (await app.client(None).get("/.well-known/jwks.json")).json()

        def told(endpoint: Endpoint, client: str) -> list[tuple[str, str | None]]:
            claims = [claims_of(each, jwks, ISSUER, client) for each in endpoint.received]
            return [(each["sub"], each.get("sid")) for each in claims]

        async def all_is_told() -> bool:
            return len(strict.received) >= len(per_session) and len(loose.received) >= len(per_user)

        await eventually(all_is_told, 30)
        with_sessions, loosely = told(strict, "strict"), told(loose, "loose")
        assert (set(with_sessions), len(with_sessions)) == (per_session, len(per_session))
        assert (set(loosely), len(loosely)) == (per_user, len(per_user))
        ours = 'openshow_logout_tokens_total{client="strict",outcome="accepted"}'
        lag = 'openshow_logout_token_lag_seconds_bucket{client="loose",le="'

        async def all_is_counted() -> bool:  # once the receiver's answer is here
            metrics = (await app.client(None).get("/metrics")).text
            return f"{ours} {len(per_session)}.0" in metrics and lag in metrics

        await eventually(all_is_counted)


async def test_a_party_that_was_removed(
    app: AdminApp,
    operator: httpx.AsyncClient,
    keys: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told nothing more, and what is kept of it in Redis goes; the other one is told."""
    stopped: list[str] = []
    stop = RelyingPartyShippers._stop

    async def stop_and_tell(shippers: RelyingPartyShippers, *parties: RelyingParty) -> None:
        await stop(shippers, *parties)
        stopped.extend(party.client_id for party in parties)

    monkeypatch.setattr(RelyingPartyShippers, "_stop", stop_and_tell)
    async with listening() as gone, listening() as stays:
        for client, endpoint in (("gone", gone), ("stays", stays)):
            body = {"clientId": client, "backchannelLogoutUri": endpoint.url} | WHY
            assert (await operator.post(PATH, json=body)).status_code == 201
        ann, bob = await person(app, "ann", 1), await person(app, "bob", 1)
        await log_out(ann, operator)

        async def is_told(endpoint: Endpoint, number: int) -> bool:
            return len(endpoint.received) == number

        await eventually(lambda: is_told(gone, 1), 30)

        def states() -> list[int]:
            with keys.client() as client:
                return [client.pttl(key) for key in client.scan_iter("events:*:sink:party-*")]

        async def all_have_begun() -> bool:
            return len(states()) == 2 * BUCKETS

        await eventually(all_have_begun, 30)
        await operator.request("DELETE", f"{PATH}/gone", json=WHY)

        async def is_heard_of() -> bool:
            return "gone" in stopped

        await eventually(is_heard_of, 30)
        await log_out(bob, operator)
        await eventually(lambda: is_told(stays, 2), 30)
        assert len(gone.received) == 1
        lives = states()
        assert len([life for life in lives if 0 < life <= SINK_LEFT_LIFE]) == BUCKETS
        assert lives.count(-1) == BUCKETS


async def test_metadata(app: AdminApp) -> None:
    """It says so where OpenID Connect Back-Channel Logout 1.0 has registered it."""
    answer = await app.client(None).get("/.well-known/oauth-authorization-server")
    document = json.loads(answer.text)
    assert document["backchannel_logout_supported"] is True
    assert document["backchannel_logout_session_supported"] is True
