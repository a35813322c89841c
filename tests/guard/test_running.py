"""A verifier that is entered, left, and entered again; and one that nobody enters."""

import asyncio
import warnings
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SESSION, SIGNING_KEYS, Parts, access_tokens
from tools.testbed.waiting import eventually

from service.guard import NotStarted, TokenRefused, Verifier
from service.guard.asgi import GuardMiddleware
from service.guard.fastapi import install, require
from service.guard.sources import NeedsAsyncio
from service.keyring import signing
from service.keyring.signing import SigningKeys
from tests.guard.exchange import ask, bearer, running
from tests.guard.guards import Guards, log_out, refuses, settled, verdict
from tests.support.looking import ON_VALKEY

with warnings.catch_warnings():  # Starlette would rather have the next httpx
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


USER = bytes(16)
OTHER_KEYS = SigningKeys([signing.mint()])


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says who is there."""
    if scope["type"] == "lifespan":
        raise ValueError("no lifespan")
    identity = scope["state"]["identity"]
    body = identity.user_id.encode() if identity else b"nobody"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@ON_VALKEY
@pytest.mark.parametrize("mode", ["feed", "strict", "offline"])
async def test_it_works_more_than_once(parts: Parts, guards: Guards, mode: str) -> None:
    """Later than the floor, also with keys that are new; who was refused stays refused."""
    guard = guards.new(mode=mode, jwks_floor=0)
    first, second = await parts.open(USER), await parts.open(USER)
    for _ in range(3):
        async with guard:
            assert await settled(guard, second.access_token) == "accepted"
            if mode != "offline":
                if await verdict(guard, first.access_token) == "accepted":
                    await log_out(parts, first)
                await eventually(lambda: refuses(guard, first.access_token))
        with pytest.raises(NotStarted, match="async with verifier"):
            await guard.verify(second.access_token)
        assert guard.feed_lost == (mode == "feed")


@ON_VALKEY
async def test_what_ends_between_two_runs(parts: Parts, guards: Guards, issuer: Issuer) -> None:
    """A session, and a key: neither counts in the second run, not even for a moment."""
    guard = guards.new(jwks_floor=0)
    pair = await parts.open(USER)
    async with guard:
        assert await settled(guard, pair.access_token) == "accepted"
    await log_out(parts, pair)
    async with guard:
        assert await refuses(guard, pair.access_token)
    living = await parts.open(USER)
    async with guard:
        assert await settled(guard, living.access_token) == "accepted"
    issuer.publish(OTHER_KEYS)
    async with guard:
        assert await refuses(guard, living.access_token)
    issuer.stop()
    async with guard:
        assert await verdict(guard, living.access_token) == "unavailable"


@ON_VALKEY
async def test_at_the_same_time_it_works_once(guards: Guards) -> None:
    """A second one gets a clear error, and the first goes on."""
    guard = guards.new(mode="offline")
    async with guard:
        with pytest.raises(RuntimeError, match="runs already"):
            await guard.__aenter__()
        token, _ = access_tokens().mint(SESSION)
        assert await settled(guard, token) == "accepted"

        def elsewhere() -> None:
            async def enter() -> None:
                with pytest.raises(RuntimeError, match="runs already"):
                    await guard.__aenter__()

            asyncio.run(enter())

        await asyncio.to_thread(elsewhere)
        assert await settled(guard, token) == "accepted"


def fastapi_app(verifier: Verifier) -> FastAPI:
    inner = FastAPI()
    install(inner, verifier)

    @inner.get("/orders", dependencies=[Depends(require(verifier))])
    async def orders() -> str:
        return "yours"

    return inner


@pytest.mark.parametrize("kind", ["middleware", "fastapi"])
def test_a_test_client_a_loop(issuer: Issuer, kind: str) -> None:
    """Each has an event loop of its own, which is closed at its end."""
    verifier = Guards(issuer, "").new(mode="offline", jwks_floor=0)
    served: Any = (
        GuardMiddleware(app, verifier=verifier) if kind == "middleware" else fastapi_app(verifier)
    )
    token, _ = access_tokens().mint(SESSION)
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(3):
        with TestClient(served) as client:
            assert client.get("/orders", headers=headers).status_code == 200
            assert client.get("/orders").status_code == 401
        issuer.publish(SIGNING_KEYS)
    bare = TestClient(served)  # which tells of no start, and has a loop for each request
    assert bare.get("/orders", headers=headers).status_code == 503, "it was left"


@pytest.mark.parametrize("kind", ["middleware", "fastapi"])
def test_a_loop_a_request(issuer: Issuer, kind: str) -> None:
    """A client that tells of no start, and closes its loop after each request."""
    verifier = Guards(issuer, "").new(mode="offline", jwks_floor=0)
    served: Any = (
        GuardMiddleware(app, verifier=verifier) if kind == "middleware" else fastapi_app(verifier)
    )
    token, _ = access_tokens().mint(SESSION)
    client = TestClient(served)
    for n in range(3):
        fresh = access_tokens().mint(SESSION)[0] if n else token
        answer = client.get("/orders", headers={"Authorization": f"Bearer {fresh}"})
        assert answer.status_code == 200
    issuer.publish(OTHER_KEYS)
    other = access_tokens(OTHER_KEYS).mint(SESSION)[0]
    answer = client.get("/orders", headers={"Authorization": f"Bearer {other}"})
    assert answer.status_code == 200, "the loop of before is gone, so all is fetched anew"


@ON_VALKEY
async def test_the_first_request_starts_it(
    parts: Parts, guards: Guards, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Fifty at once share one start and wait for it; the feed is followed from then on."""
    verifier = guards.new()
    served = GuardMiddleware(app, verifier=verifier, public=["/health"])
    pair, living = await parts.open(USER), await parts.open(USER)
    assert (await ask(served, "/health")).status == 200
    assert (await ask(served, "/orders", bearer("junk"))).status == 401
    assert issuer.asked == 0, "neither a public path nor junk starts it"
    issuer.may_answer.clear()
    waiting = [
        asyncio.create_task(ask(served, "/orders", bearer(pair.access_token))) for _ in range(50)
    ]

    async def asked() -> bool:
        return issuer.asked == 1

    await eventually(asked)
    waiting[0].cancel()  # its client has hung up: the others have their start all the same
    issuer.may_answer.set()
    answers = await asyncio.gather(*waiting[1:])
    assert {answer.status for answer in answers} == {200}
    assert issuer.asked == 1
    assert caplog.text.count("speaks no lifespan") == 1
    await log_out(parts, pair)

    async def refused() -> bool:
        return (await ask(served, "/orders", bearer(pair.access_token))).status == 401

    await eventually(refused)
    assert (await ask(served, "/orders", bearer(living.access_token))).status == 200
    await verifier.__aexit__(None, None, None)
    assert (await ask(served, "/orders", bearer(living.access_token))).status == 503


@ON_VALKEY
async def test_a_start_that_comes_late_takes_over(guards: Guards) -> None:
    """A request was first, then the server tells of its start after all: it goes on."""
    verifier = guards.new(mode="offline")
    served = GuardMiddleware(app, verifier=verifier)
    token, _ = access_tokens().mint(SESSION)
    assert (await ask(served, "/orders", bearer(token))).status == 200
    async with running(served):
        assert (await ask(served, "/orders", bearer(token))).status == 200
    assert (await ask(served, "/orders", bearer(token))).status == 503


@ON_VALKEY
async def test_bare_use_starts_nothing(guards: Guards) -> None:
    """Who calls `verify` has to enter it: nobody would ever stop what it started."""
    guard = guards.new(mode="offline")
    token, _ = access_tokens().mint(SESSION)
    with pytest.raises(NotStarted):
        await guard.verify(token)
    with pytest.raises(TokenRefused):
        await guard.verify("junk")


def test_a_loop_that_was_closed_is_forgotten(issuer: Issuer) -> None:
    """Nobody left the verifier; the next loop may enter it, and what was known counts no more."""
    guard = Guards(issuer, "").new(mode="offline", jwks_floor=0)
    token, _ = access_tokens().mint(SESSION)

    async def enter() -> str:
        await guard.__aenter__()
        return await verdict(guard, token)

    assert asyncio.run(enter()) == "accepted"
    issuer.publish(OTHER_KEYS)
    assert asyncio.run(enter()) == "refused"


def test_another_event_loop_than_asyncios() -> None:
    """The start fails, and says why, through a lifespan too."""
    guard = Verifier(
        issuer="https://issuer.example",
        audience="audience",
        jwks_url="http://127.0.0.1:1/",
        redis_url="redis://127.0.0.1:1",
    )
    said: list[str] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        said.append(message["message"])

    with pytest.raises(NeedsAsyncio, match="asyncio only"):
        GuardMiddleware(app, verifier=guard)({"type": "lifespan"}, receive, send).send(None)
    assert said == ["the guard cannot start: NeedsAsyncio"]
