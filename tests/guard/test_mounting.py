"""Guards in apps that are mounted in others, several of them, and one that is entered twice."""

import warnings
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from service.guard import Identity
from service.guard.asgi import GuardMiddleware
from service.guard.fake_issuer import FakeIssuer
from service.guard.fastapi import install, require
from service.guard.litestar import GuardPlugin
from service.guard.rules import Requirement

with warnings.catch_warnings():  # Starlette would rather have the next httpx
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


def whoami(request: Request) -> PlainTextResponse:
    identity = request.state.identity
    return PlainTextResponse(identity.user_id if identity else "nobody")


def shop(verifier: Any) -> Starlette:
    """An app of its own, which knows nothing of a prefix."""
    rules = {"public": ["/health"], "require": {"/admin/": Requirement(methods={"otp"})}}
    guard = Middleware(GuardMiddleware, verifier=verifier, **rules)
    routes = [Route(path, whoami) for path in ("/orders", "/health", "/admin/x")]
    return Starlette(routes=routes, middleware=[guard])


def fastapi_shop(verifier: Any) -> FastAPI:
    app = FastAPI()
    app.mount("/shop", shop(verifier))
    return app


def installed_shop(verifier: Any) -> Starlette:
    """The same as a FastAPI app with the dependency."""
    inner = FastAPI()
    install(inner, verifier)

    @inner.get("/health", response_class=PlainTextResponse)
    async def health() -> str:
        return "nobody"

    @inner.get("/orders", response_class=PlainTextResponse)
    async def orders(me: Identity = Depends(require(verifier))) -> str:  # noqa: B008
        return me.user_id

    @inner.get("/admin/x")
    async def admin(me: Identity = Depends(require(verifier, methods={"otp"}))) -> None:  # noqa: B008
        return None

    return Starlette(routes=[Mount("/shop", inner)])


@pytest.mark.parametrize("outer", ["starlette", "fastapi", "installed"])
def test_below_a_prefix(fake: FakeIssuer, outer: str, caplog: pytest.LogCaptureFixture) -> None:
    """Paths are those of the mounted app. No lifespan reaches it: the first request starts it."""
    verifier = fake.verifier()
    apps: dict[str, Any] = {"fastapi": fastapi_shop, "installed": installed_shop}
    mounted = Starlette(routes=[Mount("/shop", shop(verifier))])
    app = apps[outer](verifier) if outer in apps else mounted
    ann = fake.log_in()
    with TestClient(app) as client:
        assert client.get("/shop/health").text == "nobody"
        assert client.get("/shop/orders").status_code == 401
        assert client.get("/shop/orders", headers=ann.headers).text == ann.identity.user_id
        assert client.get("/shop/admin/x", headers=ann.headers).status_code == 401
        assert caplog.text.count("no lifespan reaches the guard") == 1
        assert "mounted inside another" in caplog.text
        fake.log_out(ann)
        assert client.get("/shop/orders", headers=ann.headers).status_code == 401


def test_the_outer_app_may_start_it(fake: FakeIssuer, caplog: pytest.LogCaptureFixture) -> None:
    """Then it is in no request's way, and ends with the outer app."""
    verifier = fake.verifier()

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        async with verifier:
            yield

    app = Starlette(routes=[Mount("/shop", shop(verifier))], lifespan=lifespan)
    ann = fake.log_in()
    with TestClient(app) as client:
        assert client.get("/shop/orders", headers=ann.headers).status_code == 200
    assert "no lifespan" not in caplog.text


def test_one_verifier_in_several_mounts(fake: FakeIssuer) -> None:
    """They share it: it is started once, by whichever request is first."""
    verifier = fake.verifier()
    app = Starlette(routes=[Mount("/a", shop(verifier)), Mount("/b", shop(verifier))])
    ann = fake.log_in()
    with TestClient(app) as client:
        for path in ("/a/orders", "/b/orders"):
            assert client.get(path, headers=ann.headers).status_code == 200
    assert verifier.counters.verified == 2


def test_several_verifiers_in_one_app() -> None:
    """Each route takes the tokens of its own issuer only."""
    staff, people = FakeIssuer(issuer="https://staff"), FakeIssuer(issuer="https://people")
    one, other = staff.verifier(), people.verifier()
    app = FastAPI()
    install(app, one)
    install(app, other)

    @app.get("/staff")
    async def of_staff(me: Identity = Depends(require(one))) -> str:  # noqa: B008
        return me.user_id

    @app.get("/people")
    async def of_people(me: Identity = Depends(require(other))) -> str:  # noqa: B008
        return me.user_id

    with TestClient(app) as client:
        for path, right, wrong in (("/staff", staff, people), ("/people", people, staff)):
            login = right.log_in()
            assert client.get(path, headers=login.headers).json() == login.identity.user_id
            assert client.get(path, headers=wrong.log_in().headers).status_code == 401


def test_a_second_plugin_is_told_what_to_do(fake: FakeIssuer) -> None:
    """Each route would need the tokens of both."""

    @get("/orders")
    async def orders() -> None: ...

    plugins = [GuardPlugin(fake.verifier()), GuardPlugin(fake.verifier())]
    with pytest.raises(ValueError, match="one GuardPlugin; give each verifier an app to mount"):
        Litestar([orders], plugins=plugins)


def test_a_verifier_that_is_entered_twice_is_told_what_to_do(fake: FakeIssuer) -> None:
    """By middleware and `install`, say: the app does not start, and the error is one line."""
    verifier = fake.verifier()
    app = FastAPI()
    install(app, verifier)
    app.add_middleware(GuardMiddleware, verifier=verifier)
    with (
        pytest.raises(RuntimeError, match="enter it once, by one of middleware, plugin"),
        TestClient(app),
    ):
        pass
