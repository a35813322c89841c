"""The FastAPI dependency."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

import msgspec
import pytest
from fastapi import Depends, FastAPI, WebSocket

from service.guard.fake_issuer import fake_identity
from service.guard.fastapi import install, require
from service.guard.identity import Identity
from tests.guard.exchange import ANN, KnownTokens, Socket, ask, bearer, running


@pytest.fixture
def verifier() -> KnownTokens:
    known = KnownTokens()
    now = int(time.time())
    known.living["recent"] = msgspec.structs.replace(ANN, auth_time=now - 60)
    known.living["second"] = msgspec.structs.replace(ANN, methods=("pwd", "otp", "mfa"))
    return known


def make(verifier: KnownTokens) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        verifier.steps.append("app starts")
        yield
        verifier.steps.append("app stops")

    app = FastAPI(lifespan=lifespan)
    caller = Depends(require(verifier))

    @app.get("/orders")
    async def orders(identity: Annotated[Identity, caller]) -> str:
        return identity.user_id

    @app.get("/health")
    async def health() -> bool:
        return True

    @app.get("/transfer")
    async def transfer(
        identity: Annotated[Identity, Depends(require(verifier, methods={"otp"}))],
    ) -> bool:
        return True

    @app.get("/password")
    async def password(
        identity: Annotated[Identity, Depends(require(verifier, max_age=timedelta(minutes=5)))],
    ) -> bool:
        return True

    @app.get("/greeting")
    async def greeting(
        caller: Annotated[Identity | None, Depends(require(verifier, optional=True))],
    ) -> str:
        return caller.user_id if caller else "nobody"

    @app.websocket("/feed")
    async def feed(socket: WebSocket, identity: Annotated[Identity, caller]) -> None:
        await socket.accept()
        await socket.send_text(identity.user_id)
        await socket.close()

    return app


@pytest.fixture
def app(verifier: KnownTokens) -> FastAPI:
    app = make(verifier)
    install(app, verifier)
    return app


async def test_the_verifier_runs_with_the_app(app: FastAPI, verifier: KnownTokens) -> None:
    """Around the lifespan that the app has of its own."""
    async with running(app):
        pass
    assert verifier.steps == ["verifier starts", "app starts", "app stops", "verifier stops"]


async def test_a_route_with_the_dependency(app: FastAPI, verifier: KnownTokens) -> None:
    """Gets the identity, or is not called; refusals have the contract's shape."""
    answer = await ask(app, "/orders", bearer())
    assert (answer.status, msgspec.json.decode(answer.body)) == (200, ANN.user_id)
    for headers, challenge in [
        ([], 'Bearer realm="openshow"'),
        ([bearer("bad")], 'Bearer realm="openshow", error="invalid_token"'),
        ([bearer(), bearer()], 'Bearer realm="openshow", error="invalid_token"'),
    ]:
        answer = await ask(app, "/orders", *headers)
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == challenge
    verifier.lost = True
    answer = await ask(app, "/orders", bearer())
    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "3"
    assert (await ask(app, "/health")).status == 200


async def test_a_second_factor_can_be_required(app: FastAPI) -> None:
    """RFC 9470: the token is good, the login was not enough."""
    assert (await ask(app, "/transfer", bearer("second"))).status == 200
    answer = await ask(app, "/transfer", bearer())
    assert (answer.status, answer.code) == (401, "insufficient_user_authentication")
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="openshow", error="insufficient_user_authentication", '
        'error_description="reauthenticate with otp"'
    )
    assert (await ask(app, "/transfer", bearer("bad"))).code == "unauthorized"


async def test_a_recent_login_can_be_required(app: FastAPI) -> None:
    """RFC 9470: the client learns how recent."""
    assert (await ask(app, "/password", bearer("recent"))).status == 200
    answer = await ask(app, "/password", bearer())
    assert (answer.status, answer.code) == (401, "insufficient_user_authentication")
    assert answer.headers["www-authenticate"].endswith(', max_age="300"')


async def test_an_optional_credential(app: FastAPI, verifier: KnownTokens) -> None:
    """None without one; one that is sent has to be good."""
    assert (await ask(app, "/greeting")).body == b'"nobody"'
    assert (await ask(app, "/greeting", (b"authorization", b"Basic x"))).body == b'"nobody"'
    assert msgspec.json.decode((await ask(app, "/greeting", bearer())).body) == ANN.user_id
    for headers in ([bearer("bad")], [bearer(), bearer()]):
        answer = await ask(app, "/greeting", *headers)
        assert (answer.status, answer.code) == (401, "unauthorized")
    verifier.lost = True
    assert (await ask(app, "/greeting", bearer())).status == 503
    assert (await ask(app, "/greeting")).status == 200


async def test_a_dependency_that_is_written_inline_can_be_overridden(
    app: FastAPI, verifier: KnownTokens
) -> None:
    """By one with the same arguments, in whatever form; one with others is not meant."""
    bob = fake_identity("c" * 32)
    app.dependency_overrides[require(verifier)] = lambda: bob  # type: ignore[arg-type]
    assert msgspec.json.decode((await ask(app, "/orders")).body) == bob.user_id
    for path in ("/transfer", "/password"):
        assert (await ask(app, path)).status == 401
    assert (await ask(app, "/greeting")).body == b'"nobody"'
    app.dependency_overrides[require(verifier, methods=["otp"])] = lambda: bob  # type: ignore[arg-type]
    app.dependency_overrides[require(verifier, max_age=300.0)] = lambda: bob  # type: ignore[arg-type]
    assert {(await ask(app, path)).status for path in ("/transfer", "/password")} == {200}
    assert require(verifier) != require(KnownTokens())  # type: ignore[arg-type]
    assert require(verifier) != require(verifier, optional=True)  # type: ignore[arg-type]


async def test_websockets(app: FastAPI) -> None:
    """Refused at the handshake without a token, in either way that a server knows."""
    socket = Socket()
    await app(socket.scope, socket.receive, socket.send)
    assert socket.outgoing[0]["status"] == 401
    socket = Socket(denial=False)
    await app(socket.scope, socket.receive, socket.send)
    assert [(m["type"], m["code"]) for m in socket.outgoing] == [("websocket.close", 4401)]
    socket = Socket(bearer())
    await app(socket.scope, socket.receive, socket.send)
    assert socket.outgoing[1]["text"] == ANN.user_id


async def test_without_install_nothing_is_open(verifier: KnownTokens) -> None:
    """Only the shape is FastAPI's own."""
    answer = await ask(make(verifier), "/orders")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="openshow"'


def test_the_openapi_document(app: FastAPI) -> None:
    """Says what needs a token, and of which kind."""
    document = app.openapi()
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert scheme == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    needs = {path for path, item in document["paths"].items() if "security" in item["get"]}
    assert needs == {"/orders", "/transfer", "/password", "/greeting"}
