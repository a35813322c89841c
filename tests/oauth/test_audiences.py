"""Access tokens for one app of several, after a login at a provider."""

from typing import Any

import httpx
from tools.testbed.service_process import claims_of

from tests.oauth.conftest import APPS
from tests.support.looking import ON_VALKEY
from tests.support.provider import new_subject
from tests.support.provider_app import App, new_email, person
from tests.support.two_factor import Holder

pytestmark = ON_VALKEY


def audience(answer: httpx.Response) -> str:
    assert answer.status_code in (200, 201), answer.text
    return str(claims_of(answer.json()["accessToken"])["aud"])


async def complete(app: App, subject: str, resource: Any, **claims: Any) -> httpx.Response:
    """Log in, and ask for tokens for this resource, after one that there is not."""
    grant = await app.grant(subject, claims=claims)
    refused = await app.complete(*grant, resource="x")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_target")
    return await app.complete(*grant, resource=resource)


async def test_what_complete_asks_for(app: App) -> None:
    """Counts for an account that is made and for one that is there; a wrong one spends nothing."""
    subject, told = new_subject(), {"email": new_email(), "email_verified": True}
    assert audience(await complete(app, subject, APPS[0], **told)) == APPS[0]
    opened = await complete(app, subject, APPS[1])
    assert audience(opened) == APPS[1]
    token = {"refreshToken": opened.json()["refreshToken"]}
    assert audience(await app.http.post("/auth/refresh", json=token)) == APPS[1]
    assert audience(await complete(app, subject, None)) == "openshow"


async def test_it_is_remembered_until_the_code(app: App) -> None:
    """As after a password, beside the login at the provider."""
    subject, told = new_subject(), {"email": new_email(), "email_verified": True}
    ann = person(app, await app.log_in(subject, **told))
    holder = await Holder(ann.client, ann.email, ann.tokens).enrol()
    challenge = await complete(app, subject, APPS[0])
    assert challenge.status_code == 202, challenge.text
    code = holder.recovery_codes[0]
    answer = await holder.answer(challenge.json()["challengeId"], code)
    assert audience(answer) == APPS[0]
    assert claims_of(answer.json()["accessToken"])["amr"] == ["fed", "mfa"]
