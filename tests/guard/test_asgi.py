"""The middleware, message by message."""

import time
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from service.guard.asgi import GuardMiddleware
from service.guard.rules import Requirement
from tests.guard.exchange import ANN, Answered, KnownTokens, Socket, ask, bearer, http_scope

INVALID = 'Bearer realm="openshow", error="invalid_token"'
PREFLIGHT = [(b"origin", b"https://x"), (b"access-control-request-method", b"PUT")]


class Inner:
    """An app that notes the identities it is called with."""

    def __init__(self) -> None:
        self.identities: list[object] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.identities.append(scope["state"]["identity"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def verifier() -> KnownTokens:
    return KnownTokens()


@pytest.fixture
def app(inner: Inner, verifier: KnownTokens) -> GuardMiddleware:
    return GuardMiddleware(inner, verifier=verifier, public=["/health", "/static/"])


def refused(answer: Answered, inner: Inner, challenge: str) -> bool:
    """Whether it is the 401 of the contract, and the app heard nothing of it."""
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == challenge
    return not inner.identities


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
async def test_a_living_session_passes(app: Any, inner: Inner, scheme: str) -> None:
    """With its identity; the scheme may be written in any case."""
    answer = await ask(app, "/orders", (b"authorization", scheme.encode() + b"good"))
    assert (answer.status, answer.body) == (200, b"hello")
    assert inner.identities == [ANN]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"good")],
        [(b"authorization", b"Basic good")],
        [(b"authorization", b"Bearerx good")],
        [(b"authorization", b"Basic a"), (b"authorization", b"Basic b")],
        [(b"proxy-authorization", b"Bearer good"), (b"cookie", b"authorization=Bearer good")],
    ],
)
async def test_no_credential(app: Any, inner: Inner, headers: Any) -> None:
    """401 without an error code: there was no token to find fault with (RFC 6750, section 3.1)."""
    assert refused(await ask(app, "/orders", *headers), inner, 'Bearer realm="openshow"')


@pytest.mark.parametrize("token", ["bad", "good, Bearer good", "good good", "\xff", "x" * 60_000])
async def test_a_refused_token(app: Any, inner: Inner, token: str) -> None:
    """401, and the client learns that it was the token."""
    assert refused(await ask(app, "/orders", bearer(token)), inner, INVALID)


@pytest.mark.parametrize("other", [b"Bearer good", b"Bearer bad", b"Basic x", b""])
async def test_two_credentials_are_none(app: Any, inner: Inner, other: bytes) -> None:
    """Whoever stands in front may have looked at the other one."""
    twice = [bearer(), (b"authorization", other)]
    for headers in (twice, twice[::-1]):
        assert refused(await ask(app, "/orders", *headers), inner, INVALID)


async def test_never_from_the_query_string(app: Any, inner: Inner) -> None:
    """Addresses end up in logs (RFC 6750, section 2.3)."""
    query = b"access_token=good&authorization=Bearer%20good"
    assert refused(await ask(app, "/orders", query_string=query), inner, 'Bearer realm="openshow"')


async def test_when_nobody_can_tell(app: Any, inner: Inner, verifier: KnownTokens) -> None:
    """503 with Retry-After, not 401: the token may well be good."""
    verifier.lost = True
    answer = await ask(app, "/orders", bearer())
    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "3"
    assert "www-authenticate" not in answer.headers
    assert not inner.identities


@pytest.mark.parametrize("path", ["/health", "/static/app.js"])
async def test_public_paths(app: Any, inner: Inner, verifier: KnownTokens, path: str) -> None:
    """Pass with any credential or none, nameless, also while nobody can tell."""
    verifier.lost = True
    for headers in ([], [bearer()], [bearer("bad")]):
        assert (await ask(app, path, *headers)).status == 200
    assert inner.identities == [None] * 3


@pytest.mark.parametrize("path", ["/", "/static/../orders", "/static//orders", "/health/"])
async def test_all_else_is_closed(app: Any, inner: Inner, path: str) -> None:
    """Without a list, everything is."""
    assert refused(await ask(app, path), inner, 'Bearer realm="openshow"')
    assert refused(
        await ask(GuardMiddleware(inner, verifier=KnownTokens()), path),
        inner,
        'Bearer realm="openshow"',
    )


@pytest.mark.parametrize("state", [{}, {"identity": "mallory", "db": 1}, None])
async def test_the_identity_is_the_requests_own(app: Any, inner: Inner, state: Any) -> None:
    """Also where a server hands one and the same dict to every request."""
    await ask(app, "/orders", bearer(), state=state)
    await ask(app, "/health", state=state)
    assert inner.identities == [ANN, None]
    assert state in ({}, {"identity": "mallory", "db": 1}, None)


async def test_without_state(app: Any, inner: Inner) -> None:
    """A server need not have any."""
    scope = http_scope("/orders", [bearer()])
    del scope["state"]
    await app(scope, None, lambda message: _nothing())
    assert inner.identities == [ANN]


async def test_head_has_no_body(app: Any) -> None:
    """But the headers of the answer that GET would get."""
    got, head = await ask(app, "/orders"), await ask(app, "/orders", method="HEAD")
    assert (head.status, head.headers, head.body) == (401, got.headers, b"")


async def test_preflights(app: Any, inner: Inner) -> None:
    """Pass without a credential if that was asked for; any other OPTIONS never does."""
    assert refused(
        await ask(app, "/orders", *PREFLIGHT, method="OPTIONS"), inner, 'Bearer realm="openshow"'
    )
    lenient = GuardMiddleware(inner, verifier=KnownTokens(), allow_preflight=True)
    assert refused(
        await ask(lenient, "/orders", *PREFLIGHT[:1], method="OPTIONS"),
        inner,
        'Bearer realm="openshow"',
    )
    assert refused(
        await ask(lenient, "/orders", *PREFLIGHT, method="GET"), inner, 'Bearer realm="openshow"'
    )
    assert (await ask(lenient, "/orders", *PREFLIGHT, method="OPTIONS")).status == 200
    assert inner.identities == [None]


@pytest.fixture
def demanding(inner: Inner, verifier: KnownTokens) -> GuardMiddleware:
    """Known by heart: `second` has a second factor, `recent` is a minute old, `both` is both."""
    recent, otp = int(time.time()) - 60, ("pwd", "otp", "mfa")
    verifier.living |= {
        "recent": msgspec.structs.replace(ANN, auth_time=recent),
        "second": msgspec.structs.replace(ANN, methods=otp),
        "both": msgspec.structs.replace(ANN, methods=otp, auth_time=recent),
    }
    require = {
        "/admin/": Requirement(methods={"otp"}, max_age=timedelta(minutes=10)),
        "/pay": Requirement(max_age=600),
    }
    return GuardMiddleware(inner, verifier, public=["/admin/logo"], optional=["/"], require=require)


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("/admin/users", ["both"]),
        ("/admin/", ["both"]),
        ("/pay", ["both", "recent"]),
        ("//admin/users", ["both"]),
        ("/x/..", ["both"]),
        ("/orders", ["both", "good", "recent", "second"]),
    ],
)
async def test_what_a_path_requires(
    demanding: Any, inner: Inner, path: str, accepted: list[str]
) -> None:
    """RFC 9470: the token is good, the login was not enough, and the client learns why."""
    answers = {
        token: await ask(demanding, path, bearer(token))
        for token in ("both", "good", "recent", "second")
    }
    assert [token for token, answer in answers.items() if answer.status == 200] == accepted
    assert len(inner.identities) == len(accepted)
    for token, answer in answers.items():
        if token not in accepted:
            assert (answer.status, answer.code) == (401, "insufficient_user_authentication")
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith(
                'Bearer realm="openshow", error="insufficient_user_authentication", '
            )
            if token in ("both", "second") or path == "/pay":
                assert challenge.endswith(', max_age="600"')
            else:
                assert 'error_description="reauthenticate with otp"' in challenge
    answer = await ask(demanding, path)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="openshow"')
    assert (await ask(demanding, path, bearer("bad"))).code == "unauthorized"


async def test_a_public_path_below_what_is_required(demanding: Any, inner: Inner) -> None:
    """Is an exception."""
    assert (await ask(demanding, "/admin/logo")).status == 200
    assert inner.identities == [None]


async def test_a_web_socket_on_a_path_that_requires(demanding: Any, inner: Inner) -> None:
    """Is refused at the handshake."""
    socket = Socket(bearer())
    socket.scope["path"] = "/admin/feed"
    await demanding(socket.scope, socket.receive, socket.send)
    assert socket.outgoing[0]["status"] == 401
    assert b"insufficient_user_authentication" in socket.outgoing[1]["body"]
    assert not inner.identities


async def test_an_optional_path(demanding: Any, inner: Inner, verifier: KnownTokens) -> None:
    """Without a credential nobody calls; one that is sent has to be good."""
    assert (await ask(demanding, "/")).status == 200
    assert (await ask(demanding, "/", (b"authorization", b"Basic x"))).status == 200
    assert (await ask(demanding, "/", bearer())).status == 200
    assert inner.identities == [None, None, ANN]
    for headers in ([bearer("bad")], [bearer(), bearer()], [bearer(), (b"authorization", b"")]):
        answer = await ask(demanding, "/", *headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, INVALID)
    verifier.lost = True
    answer = await ask(demanding, "/", bearer())
    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert (await ask(demanding, "/")).status == 200
    assert inner.identities == [None, None, ANN, None]


async def test_unknown_scopes_are_refused(app: Any, inner: Inner) -> None:
    """Whatever protocol comes next, it does not pass unseen."""
    with pytest.raises(ValueError, match="no rule"):
        await app({"type": "quic", "path": "/health", "headers": []}, None, None)
    assert not inner.identities


async def _nothing() -> None: ...
