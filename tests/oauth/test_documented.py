"""Each code that docs/api.md gives a call of providers can be brought about, with its status."""

import re
from typing import Any

import httpx
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.service_process import ServiceProcess, sign_up

from tests.oauth.conftest import settings_for
from tests.support.looking import ON_VALKEY
from tests.support.provider import Provider, broken, new_subject
from tests.support.provider_app import App, new_email, person
from tests.web.wire import error_of

pytestmark = ON_VALKEY

PAGE = (REPOSITORY / "docs/api.md").read_text(encoding="utf-8")


def documented(call: str) -> set[tuple[str, str]]:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{call}` |")]
    return set(re.findall(r"(\d{3}) `(\w+)`", row.split(" | ")[3]))


async def test_every_code(
    app: App, oauth_service: ServiceProcess, provider: Provider, tmp_path: Any
) -> None:
    """But for those of accounts that are disabled or not verified: tests/oauth/test_login.py."""
    ann, subject = await sign_up(app.http), new_subject()
    begun = await app.grant(bearer=ann.bearer)
    alone = person(app, await app.log_in(subject, new_email()))
    assert (await app.log_in(bearer=ann.bearer)).status_code == 200
    seen = {
        "POST /auth/oauth/{provider}/start": [await app.ask_start(redirectUri="x")],
        "GET /auth/oauth/{provider}/callback": [await app.come_back({})],
        "POST /auth/oauth/{provider}/callback": [await app.come_back({"state": "x"}, by_post=True)],
        "POST /auth/oauth/complete": [
            await app.complete("x", "x"),
            await app.complete("x", "x", resource="x"),
            await app.log_in(),
            await app.log_in("", ann.email, None),
            await app.complete(*begun),
        ],
        "POST /auth/oauth/{provider}/link": [
            await app.at("two").ask_start(ann.bearer, redirectUri="x"),
            await app.ask_start(ann.bearer),
        ],
        "DELETE /auth/oauth/{provider}/link": [
            await app.http.delete("/auth/oauth/two/link", headers=ann.bearer),
            await app.http.delete("/auth/oauth/one/link", headers=alone.bearer),
        ],
        "POST /auth/oauth/{provider}/backchannel-logout": [await app.log_out("x")],
    }
    closed = oauth_service.beside(
        tmp_path, **settings_for(provider) | {"SERVICE_OAUTH_SIGNUP": "off"}
    )
    with provider.doing("/openid-configuration", broken):
        closed.start()
        try:
            async with httpx.AsyncClient(base_url=closed.url, timeout=30) as http:
                elsewhere = App(http, provider)
                seen["POST /auth/oauth/{provider}/start"].append(await elsewhere.ask_start())
                away = await elsewhere.ask_start(alone.bearer)
                assert away.status_code == 409  # what is known here is told without the provider
                seen["POST /auth/oauth/{provider}/link"].append(
                    await elsewhere.at("two").ask_start(alone.bearer)
                )
                logout = provider.logout_token("one", sub="x")
                seen["POST /auth/oauth/{provider}/backchannel-logout"].append(
                    await elsewhere.log_out(logout)
                )
                grant = await app.grant(claims={"email": new_email()})
                seen["POST /auth/oauth/complete"].append(await elsewhere.complete(*grant))
        finally:
            assert closed.stop() == 0
    elsewhere_proved = {("403", "account_disabled"), ("403", "email_not_verified")}
    for call, answers in seen.items():
        answered = {(str(answer.status_code), error_of(answer)) for answer in answers}
        assert answered == documented(call) - elsewhere_proved, call
