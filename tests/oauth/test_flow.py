"""To the provider and back: what is bound to a login, what works once, and who may be late."""

import asyncio
import time

import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import code_of

from service.redis.keys import bucket
from tests.support.looking import ON_VALKEY
from tests.support.provider import (
    Provider,
    broken,
    huge,
    redirecting,
    saying,
    slow,
)
from tests.support.provider_app import (
    RETURN,
    App,
    challenge_of,
    fragment_of,
    new_email,
    new_verifier,
)
from tests.support.run_queue import Stopwatch

pytestmark = ON_VALKEY


async def test_the_providers_are_listed(app: App) -> None:
    """By id and name, and nothing else of them."""
    answer = await app.http.get("/auth/oauth")
    assert answer.json() == {
        "providers": [
            {"id": "github", "name": "GitHub"},
            {"id": "one", "name": "One"},
            {"id": "two", "name": "The Second"},
        ]
    }
    assert code_of(await app.at("three").ask_start()) == (404, "not_found")


@pytest.mark.parametrize(
    "uri",
    [RETURN + "&b", RETURN[:-1], "https://app.example/", "", RETURN.upper(), RETURN + "#"],
    ids=range(6),
)
async def test_only_the_addresses_that_are_set(app: App, uri: str) -> None:
    """Exactly: no prefix, no other case, no other query."""
    assert code_of(await app.ask_start(redirectUri=uri)) == (400, "redirect_uri_not_allowed")


@pytest.mark.parametrize("challenge", ["", "x" * 42, "x" * 44, "=" * 43, "é" * 43])
async def test_a_challenge_is_needed(app: App, challenge: str) -> None:
    """Of S256, which is always as long."""
    assert code_of(await app.ask_start(codeChallenge=challenge)) == (400, "bad_request")


async def test_a_state_works_once(app: App, provider: Provider) -> None:
    """It is used up before the provider is asked, also by who comes back with an error."""
    url, _ = await app.start()
    sent = provider.log_in(url, claims={"nonce": "wrong"})
    assert fragment_of(await app.come_back(sent)) == {"error": "provider_error"}
    before = len(provider.asked)
    assert code_of(await app.come_back(sent)) == (400, "invalid_state")
    url, _ = await app.start()
    sent = provider.log_in(url)
    denied = {"state": sent["state"], "error": "access_denied", "error_description": "<b>"}
    assert fragment_of(await app.come_back(denied)) == {"error": "access_denied"}
    assert code_of(await app.come_back(sent)) == (400, "invalid_state")
    answers = await asyncio.gather(*(app.come_back(denied) for _ in range(5)))
    assert {code_of(answer) for answer in answers} == {(400, "invalid_state")}
    assert len(provider.asked) == before


async def test_what_is_no_state(app: App, provider: Provider) -> None:
    """Missing, forged, a grant, another provider's (a mix-up), or there twice."""
    url, _ = await app.start()
    sent = provider.log_in(url)
    grant, _ = await app.grant()
    state = sent["state"]
    for wrong in ("", state[:-1], state[:-1] + ("A" if state[-1] != "A" else "B"), grant):
        assert code_of(await app.come_back(sent | {"state": wrong})) == (400, "invalid_state")
    twice = await app.http.get(
        f"/auth/oauth/one/callback?state={state}&state={state}&code={sent['code']}"
    )
    assert code_of(twice) == (400, "invalid_state")
    assert code_of(await app.at("two").come_back(sent)) == (400, "invalid_state")
    assert code_of(await app.come_back(sent)) == (400, "invalid_state")  # that has used it up


async def test_a_mix_up_is_noticed_by_iss(app: App, provider: Provider) -> None:
    """RFC 9207: another issuer in the answer is refused, and none where one is announced."""
    url, _ = await app.start()
    mixed = provider.log_in(url) | {"iss": provider.issuer("two")}
    assert fragment_of(await app.come_back(mixed)) == {"error": "provider_error"}
    url, _ = await app.start()
    right = provider.log_in(url) | {"iss": provider.issuer("one")}
    assert "grant" in fragment_of(await app.come_back(right))


async def test_a_form_is_taken_as_well(app: App, provider: Provider) -> None:
    """As Apple sends people back; JSON is not."""
    url, verifier = await app.start()
    sent = provider.log_in(url, claims={"email": new_email()})
    json = await app.http.post("/auth/oauth/one/callback", json=sent)
    assert code_of(json) == (415, "unsupported_media_type")
    grant = fragment_of(await app.come_back(sent, by_post=True))["grant"]
    assert (await app.complete(grant, verifier)).status_code == 201


async def test_a_long_query(app: App, provider: Provider) -> None:
    """8,192 bytes there and nowhere else."""
    url, _ = await app.start()
    sent = provider.log_in(url)
    query = f"state={sent['state']}&code={sent['code']}&scope="
    path = "/auth/oauth/one/callback?"
    assert (await app.http.get(path + query + "x" * (8193 - len(query)))).status_code == 414
    assert (await app.http.get(path + query + "x" * (8192 - len(query)))).status_code == 303
    assert (await app.http.get("/auth/oauth?" + "x" * 1025)).status_code == 414


async def test_a_grant_works_once_and_for_its_verifier(app: App) -> None:
    """A wrong verifier spends it, so that nobody can go on trying; each is one answer."""
    told = {"email": new_email()}
    grant, verifier = await app.grant(claims=told)
    for wrong in ("", new_verifier(), verifier + "x", challenge_of(verifier), "é", "x" * 5000):
        grant, verifier = await app.grant(claims=told)
        assert code_of(await app.complete(grant, wrong)) == (400, "invalid_grant")
        assert code_of(await app.complete(grant, verifier)) == (400, "invalid_grant")
    grant, verifier = await app.grant(claims=told)
    assert (await app.complete(grant, verifier)).status_code == 201
    assert code_of(await app.complete(grant, verifier)) == (400, "invalid_grant")
    url, verifier = await app.start()
    for nothing in ("", "oso_", url, "oso_" + "A" * 100):
        assert code_of(await app.complete(nothing, verifier)) == (400, "invalid_grant")


async def test_how_long_they_live(app: App, keys: RedisServer, provider: Provider) -> None:
    """Ten minutes and a minute; nothing of a login stays, or stands there in clear."""
    since = Stopwatch()
    url, _ = await app.start()
    sent = provider.log_in(url)
    with keys.client() as client:
        (state,) = client.scan_iter(match="ticket:*:state:*")
        assert 600_000 - 1000 * (since.all + 1) < client.pttl(state) <= 600_000
        assert RETURN.encode() not in client.get(state)
    since = Stopwatch()
    fragment_of(await app.come_back(sent))
    with keys.client() as client:
        (grant,) = client.scan_iter(match="ticket:*:grant:*")
        assert not list(client.scan_iter(match="ticket:*:state:*"))
        assert 60_000 - 1000 * (since.all + 1) < client.pttl(grant) <= 60_000
        assert not [client.xlen(key) for key in client.scan_iter(match="events:*")]
    assert bucket(b"\0" * 16).ticket == b"ticket:{00}:"


SAME = "/jwks", "slow"

WRONG = {
    "down": (broken, "provider_unavailable"),
    "slow": (slow, "provider_unavailable"),
    "huge": (huge, "provider_error"),
    "no JSON": (saying(b"<html>"), "provider_error"),
    "a list": (saying([]), "provider_error"),
    "deep": (saying(b"[" * 100_000), "provider_error"),
}


@pytest.mark.parametrize(
    ("path", "name"),
    [(path, name) for path in ("/token", "/jwks") for name in WRONG if (path, name) != SAME],
)
async def test_a_provider_out_of_order(app: App, provider: Provider, path: str, name: str) -> None:
    """The app is told so within the budget, and which of the two it is."""
    misbehaviour, code = WRONG[name]
    url, _ = await app.start()
    with provider.doing(path, misbehaviour):
        began = time.monotonic()
        answer = await app.come_back(provider.log_in(url))
        assert time.monotonic() - began < 10  # the budget is 2 s; it would have taken 3 s, or 30
    assert fragment_of(answer) == {"error": code}


@pytest.mark.parametrize("path", ["/token", "/jwks", "/userinfo"])
async def test_no_redirect_is_followed(app: App, provider: Provider, path: str) -> None:
    """Nobody else is asked, with the code or a token, because a provider says so."""
    url, _ = await app.start()
    with provider.doing(path, redirecting(f"{provider.issuer('two')}/elsewhere")):
        answer = await app.come_back(provider.log_in(url))
    assert fragment_of(answer) == {"error": "provider_error"}
    assert "/two/elsewhere" not in provider.asked
