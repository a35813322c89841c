"""A process that is killed in the middle of a take-over of an account."""

from pathlib import Path

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, code_of, sign_up

from service.redis.keys import bucket
from tests.oauth.conftest import settings_for
from tests.support.killing import fragile_service, kill_around_the_row, post_unanswered
from tests.support.looking import ON_VALKEY
from tests.support.provider import Provider, new_subject
from tests.support.provider_app import App
from tests.support.user_stores import UserStore

pytestmark = [ON_VALKEY, pytest.mark.parametrize("new_user_store", ["sqlite"], indirect=True)]


@pytest.mark.parametrize("written", [False, True], ids=["before the row", "after the row"])
async def test_kill_minus_9(
    redis_server: RedisServer,
    user_store: UserStore,
    provider: Provider,
    tmp_path: Path,
    written: bool,
) -> None:
    """Before it has written the row: the account as it was. After it, before Redis has heard of it:
    nothing of before opens it, and whoever has claimed its address does."""
    theirs, ours = new_subject(), new_subject()
    settings = settings_for(provider)
    with fragile_service(tmp_path, redis_server.binary, user_store, **settings) as fragile:
        server, service = fragile
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as http:
            app = App(http, provider)
            squatter = await sign_up(http)
            assert (await app.at("two").log_in(theirs, bearer=squatter.bearer)).status_code == 200
            claims = {"email": squatter.email, "email_verified": True}
            grant, verifier = await app.grant(ours, claims=claims)

            def is_announced() -> bool:
                with server.client() as client:
                    index = bucket(squatter.user_id).index + squatter.user_id
                    return bool((client.hget(index, "v") or b"").startswith(b"?"))

            def is_written() -> bool:
                asked = "SELECT email_verified_at FROM users WHERE id = $1"
                [(at,)] = user_store.ask(asked, squatter.user_id)
                return at is not None

            await kill_around_the_row(
                fragile,
                user_store,
                lambda: post_unanswered(
                    http,
                    "/auth/oauth/complete",
                    squatter.bearer,
                    grant=grant,
                    codeVerifier=verifier,
                ),
                is_announced,
                is_written,
                written=written,
            )
        after = service.beside(tmp_path, **settings).start()
        try:
            async with httpx.AsyncClient(base_url=after.url, timeout=30) as http:
                app, squatter.client = App(http, provider), http
                gone = (401, "invalid_credentials") if written else (200, "")
                body = {"email": squatter.email, "password": PASSWORD}
                assert code_of(await http.post("/auth/login", json=body)) == gone
                assert (await squatter.me()).status_code == (401 if written else 200)
                assert (await squatter.refresh()).status_code == (401 if written else 200)
                other = await app.at("two").log_in(theirs)
                assert other.status_code == (400 if written else 200)
                taken = await app.log_in(ours, squatter.email)
                assert taken.status_code == 200
                assert taken.json()["user"]["id"] == squatter.user_id.hex()
                assert (await squatter.me()).status_code == 401
        finally:
            assert after.stop() == 0
