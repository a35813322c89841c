"""What apps test themselves with: the real verifier, with keys and a feed that a test tells."""

import asyncio
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from tools.testbed.parts import SESSION, access_tokens

from service.guard import NotStarted, Verifier
from service.guard.asgi import GuardMiddleware
from service.guard.fake_issuer import FakeIssuer, Login, fake_identity
from service.guard.rules import Requirement
from tests.guard.exchange import ask, running
from tests.guard.guards import verdict
from tests.guard.test_options import GOOD
from tests.guard.test_running import app

with warnings.catch_warnings():  # Starlette would rather have the next httpx
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    issuer = FakeIssuer()
    yield issuer
    issuer.close()


def header(login: Login) -> tuple[bytes, bytes]:
    return b"authorization", login.headers["Authorization"].encode()


@pytest.mark.parametrize("mode", ["feed", "strict", "offline"])
async def test_each_kind_of_end(issuer: FakeIssuer, mode: str) -> None:
    """Is known at once, but in `offline`, where none is; no other session minds."""
    async with issuer.verifier(mode=mode) as guard:
        ann, bob, other = issuer.log_in(), issuer.log_in(), issuer.log_in()
        anns = issuer.log_in(ann.identity.user_id)
        ended = "accepted" if mode == "offline" else "refused"
        for login in (ann, bob, other, anns):
            assert await guard.verify(login.token) == login.identity
        issuer.log_out(bob)
        assert await verdict(guard, bob.token) == ended
        issuer.log_out_everywhere(ann.identity.user_id, keep=anns)
        assert await verdict(guard, ann.token) == ended
        for login in (anns, other, issuer.log_in(ann.identity.user_id)):
            assert await verdict(guard, login.token) == "accepted"
        issuer.log_out_everybody()
        assert await verdict(guard, other.token) == ended
        assert await verdict(guard, issuer.log_in().token) == "accepted"


async def test_what_had_ended_before_the_start(issuer: FakeIssuer) -> None:
    """Is known too, in each verifier; who was refused stays so in another run."""
    login, living = issuer.log_in(), issuer.log_in()
    issuer.log_out(login)
    guard = issuer.verifier()
    for verifier in (guard, issuer.verifier(mode="strict"), guard):
        async with verifier:
            assert await verdict(verifier, login.token) == "refused"
            assert await verdict(verifier, living.token) == "accepted"


async def test_a_feed_that_is_lost(issuer: FakeIssuer) -> None:
    """`when_lost` decides; afterwards all is as before."""
    living, ended = issuer.log_in(), issuer.log_in()
    for when_lost, then in (
        ("closed", "unavailable"),
        ("ask", "unavailable"),
        ("serve", "accepted"),
    ):
        async with issuer.verifier(when_lost=when_lost) as guard:
            issuer.lose_feed()
            assert await verdict(guard, living.token) == then
            issuer.restore_feed()
            assert await verdict(guard, living.token) == "accepted"
            issuer.log_out(ended)
            assert await verdict(guard, ended.token) == "refused"


async def test_tokens_are_really_checked(issuer: FakeIssuer) -> None:
    """Expiry and signature count; another issuer's tokens do not."""
    async with issuer.verifier() as guard, FakeIssuer().verifier() as another:
        login = issuer.log_in()
        assert await verdict(another, login.token) == "refused"
        assert await verdict(guard, access_tokens().mint(SESSION)[0]) == "refused"
        assert await verdict(guard, issuer.log_in(expires_in=-1).token) == "refused"
        assert await verdict(guard, issuer.log_in(expires_in=10).token) == "accepted"


async def test_a_second_that_passes_meanwhile(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Makes no token that lives too long."""
    async with issuer.verifier() as guard:
        begun, looks = time.time(), iter([0.9, 1.1, 1.2, 1.3])
        monkeypatch.setattr(time, "time", lambda: int(begun) + next(looks, 1.4))
        token = issuer.log_in().token
        monkeypatch.undo()
        assert await verdict(guard, token) == "accepted"


async def test_what_a_login_was_like(issuer: FakeIssuer) -> None:
    """Is held against what a path requires, and the answer says what to do."""
    pay = Requirement(methods={"otp"}, max_age=60)
    served = GuardMiddleware(app, verifier=issuer.verifier(), require={"/pay": pay})
    async with running(served):
        by_code = {"methods": {"pwd", "otp"}}
        assert issuer.log_in(**by_code).identity.methods == ("pwd", "otp", "mfa")
        assert (await ask(served, "/pay", header(issuer.log_in(**by_code)))).status == 200
        for login, what in (
            (issuer.log_in(), "reauthenticate with otp"),
            (issuer.log_in(**by_code, age=90), "reauthenticate"),
        ):
            answer = await ask(served, "/pay", header(login))
            assert (answer.status, answer.code) == (401, "insufficient_user_authentication")
            assert f'error_description="{what}"' in answer.headers["www-authenticate"]


def test_it_stands_in_for_an_apps_own(issuer: FakeIssuer) -> None:
    """Whose event loop is in another thread; afterwards the verifier is as it was before."""
    verifier = Verifier(**GOOD)
    served: Any = GuardMiddleware(app, verifier=verifier)
    for _ in range(2):
        issuer.stand_in(verifier)
        login = issuer.log_in()
        with TestClient(served) as client:
            assert client.get("/", headers=login.headers).text == login.identity.user_id
            with pytest.raises(RuntimeError, match="runs already"):
                issuer.stand_in(verifier)
            issuer.log_out(login)
            assert client.get("/", headers=login.headers).status_code == 401
        issuer.close()
    issuer.stand_in(verifier)
    bare = TestClient(served)  # which tells of no start
    assert bare.get("/", headers=issuer.log_in().headers).status_code == 200
    issuer.close()
    with pytest.raises(NotStarted):
        asyncio.run(verifier.verify(login.token.replace(".", ".", 1)))


def test_mistakes_are_named(issuer: FakeIssuer) -> None:
    """Before a test passes for the wrong reason."""
    issuer.stand_in(Verifier(**GOOD))
    with pytest.raises(ValueError, match="one issuer and audience"):
        issuer.stand_in(Verifier(**GOOD | {"audience": "other"}))
    with pytest.raises(ValueError, match="user_id must be"):
        issuer.log_in("ann")
    with pytest.raises(ValueError, match="no login has 'otpp'"):
        fake_identity(methods={"otpp"})
    assert issuer.log_in().token not in repr(issuer.log_in())
