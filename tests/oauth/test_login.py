"""Logging in at a provider: whose account it is, and what the account becomes by it."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import (
    PASSWORD,
    ServiceProcess,
    claims_of,
    code_of,
    sign_up,
)

from tests.oauth.conftest import settings_for
from tests.support.looking import ON_VALKEY, events
from tests.support.provider import Provider, new_subject
from tests.support.provider_app import App, new_email, person
from tests.support.two_factor import Holder, new_holder

pytestmark = ON_VALKEY


async def test_a_new_account_and_back_again(app: App) -> None:
    """201 with `amr` fed and no password; the same subject is the same account from then on."""
    subject, email = new_subject(), new_email()
    answer = await app.log_in(subject, email)
    assert answer.status_code == 201
    ann = person(app, answer)
    assert ann.email == email
    assert answer.json()["user"]["emailVerified"] is True
    claims = claims_of(ann.tokens["accessToken"])
    assert claims["amr"] == ["fed"]
    refreshed = (await ann.refresh()).json()
    assert claims_of(refreshed["accessToken"])["amr"] == ["fed"]
    assert abs(claims["auth_time"] - claims["iat"]) <= 1
    body = {"email": email, "password": ""}
    assert code_of(await app.http.post("/auth/login", json=body)) == (401, "invalid_credentials")
    change = {"currentPassword": PASSWORD, "newPassword": PASSWORD + "!"}
    changed = await app.http.post("/auth/password/change", json=change, headers=ann.bearer)
    assert code_of(changed) == (400, "no_password")

    again = await app.log_in(subject, new_email())  # whatever the address is now
    assert again.status_code == 200
    assert again.json()["user"]["id"] == answer.json()["user"]["id"]
    assert again.json()["user"]["email"] == email


async def test_in_cookie_mode(app: App) -> None:
    """The refresh token is a cookie and not in the body, for a new account and for one that is."""
    app.http.headers["X-Session-Mode"] = "cookie"
    subject, email = new_subject(), new_email()
    for status in (201, 200):
        answer = await app.log_in(subject, email)
        assert answer.status_code == status
        assert "accessToken" in answer.json()
        assert "refreshToken" not in answer.json()
        assert answer.headers["set-cookie"].startswith("openshow_refresh=osr_")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/json"


async def test_subjects_and_issuers_make_whom_they_mean(app: App) -> None:
    """Neither another subject nor the same of another issuer is the same person."""
    subject = new_subject()
    first = await app.log_in(subject, new_email())
    other = await app.at("two").log_in(subject, new_email())
    assert (first.status_code, other.status_code) == (201, 201)
    assert first.json()["user"]["id"] != other.json()["user"]["id"]
    assert other.json()["user"]["emailVerified"] is False  # of one that is not trusted


@pytest.mark.parametrize("verified", ["false", "true", 1, None, False], ids=repr)
async def test_only_the_boolean_counts(app: App, verified: Any) -> None:
    """`email_verified` that is no boolean true claims nothing: the address may be anybody's."""
    ann = await sign_up(app.http)
    answer = await app.log_in(new_subject(), ann.email, verified)
    assert code_of(answer) == (409, "link_required")
    new = await app.log_in(new_subject(), new_email(), verified)
    assert new.status_code == 201
    assert new.json()["user"]["emailVerified"] is False


async def test_a_provider_without_trust_claims_nothing(app: App) -> None:
    """However verified it says that the address is."""
    ann = await sign_up(app.http)
    assert code_of(await app.at("two").log_in("", ann.email)) == (409, "link_required")
    assert (await ann.me()).status_code == 200


async def test_a_claimed_address_joins_a_verified_account(app: App) -> None:
    """Sessions of it go on, and from then on both subjects log in to it."""
    email, second = new_email(), new_subject()
    ann = person(app, await app.log_in("", email))
    joined = await app.log_in(second, email.upper())
    assert joined.status_code == 200
    assert joined.json()["user"]["id"] == ann.user_id.hex()
    assert (await ann.me()).status_code == 200
    assert (await app.log_in(second)).status_code == 200


@pytest.mark.parametrize("verified", [True, False], ids=["verified", "unverified"])
async def test_an_address_that_only_folds_to_the_account_s_claims_nothing(
    app: App, *, verified: bool
) -> None:
    """It may be another person's mailbox: it neither joins the account nor takes it over."""
    ann = person(app, await app.log_in("", new_email())) if verified else await sign_up(app.http)
    other = chr(ord(ann.email[0]) - ord("!") + ord("！")) + ann.email[1:]
    assert code_of(await app.log_in(new_subject(), other)) == (409, "link_required")
    assert (await ann.me()).status_code == 200


async def test_a_claimed_address_takes_an_unverified_account_over(
    app: App, keys: RedisServer
) -> None:
    """Password, second factor, sessions, open challenges and other identities have ended before
    the answer."""
    bob, other = await new_holder(app.http), new_subject()
    linked = await app.at("two").log_in(other, bearer=bob.bearer)
    assert linked.status_code == 200, linked.text
    await bob.enrol()
    challenge = await app.http.post("/auth/login", json={"email": bob.email, "password": PASSWORD})
    assert challenge.status_code == 202

    subject = new_subject()
    answer = await app.log_in(subject, bob.email)
    assert answer.status_code == 200
    user = answer.json()["user"]
    assert user["id"] == bob.user_id.hex()
    assert user["emailVerified"] is True
    assert user["twoFA"] == {"enabled": False, "recoveryCodesLeft": 0}
    assert (await bob.me()).status_code == 401
    assert (await bob.refresh()).status_code == 401
    body = {"email": bob.email, "password": PASSWORD}
    assert code_of(await app.http.post("/auth/login", json=body)) == (401, "invalid_credentials")
    code = {"challengeId": challenge.json()["challengeId"], "code": bob.phone.code(1)}
    assert code_of(await app.http.post("/auth/login/2fa", json=code)) == (
        401,
        "challenge_not_found",
    )
    assert code_of(await app.at("two").log_in(other)) == (400, "email_required")
    assert (await person(app, answer).me()).status_code == 200
    taken = [event for event in events(keys, bob.user_id) if event["type"] == "user.takenOver"]
    assert [event["by"] for event in taken] == ["provider:one"]


async def test_2fa_applies(app: App) -> None:
    """202, and after the code `amr` is fed, otp, mfa: the provider's own is not believed."""
    subject, email = new_subject(), new_email()
    ann = person(app, await app.log_in(subject, email, amr=["pwd", "otp", "mfa"]))
    assert claims_of(ann.tokens["accessToken"])["amr"] == ["fed"]
    holder = await Holder(app.http, email, ann.tokens).enrol()
    answer = await app.log_in(subject, amr=["mfa"])
    assert answer.status_code == 202
    assert answer.json()["methods"] == ["totp", "recovery_code"]
    code = {"challengeId": answer.json()["challengeId"], "code": holder.phone.code(1)}
    second = await app.http.post("/auth/login/2fa", json=code)
    claims = claims_of(person(app, second).tokens["accessToken"])
    assert claims["amr"] == ["fed", "otp", "mfa"]


async def test_an_address_is_needed_for_an_account(app: App) -> None:
    """From the ID token, else from userinfo of the same subject; neither is 400."""
    assert code_of(await app.log_in()) == (400, "email_required")
    assert code_of(await app.log_in("", "no address at all")) == (400, "email_required")
    email = new_email()
    told = {"email": email, "email_verified": True}
    answer = await app.complete(*await app.grant(userinfo=told))
    assert answer.status_code == 201
    assert (answer.json()["user"]["email"], answer.json()["user"]["emailVerified"]) == (email, True)
    assert await app.failure(userinfo=told | {"sub": "another"}) == "provider_error"


async def test_github(app: App) -> None:
    """Without ID tokens: the number of the account, and its primary address."""
    number, email = int(new_subject(), 16), new_email()
    wishes = {
        "emails": [
            {"email": new_email(), "primary": False, "verified": True},
            {"email": email, "primary": True, "verified": True},
        ]
    }
    hub = app.at("github")
    answers = [await hub.complete(*await hub.grant(number, **wishes)) for _ in range(2)]  # type: ignore[arg-type]
    assert [answer.status_code for answer in answers] == [201, 200]
    user = answers[0].json()["user"]
    assert (user["email"], user["emailVerified"]) == (email, True)


async def test_a_number_at_github_that_is_none(app: App) -> None:
    """It is kept and indexed, so it is as long as one is: one of thousands of digits is refused."""
    hub = app.at("github")
    for number in (-1, 2**64, 10**4000, True):
        assert await hub.failure(number) == "provider_error", number  # type: ignore[arg-type]


async def test_racing_completes(app: App) -> None:
    """Of one new person twice: one account. Of one grant ten times: one session."""
    subject, email = new_subject(), new_email()
    grants = [await app.grant(subject, claims={"email": email}) for _ in range(2)]
    answers = await asyncio.gather(*(app.complete(*grant) for grant in grants))
    assert sorted(answer.status_code for answer in answers) == [200, 201]
    assert len({answer.json()["user"]["id"] for answer in answers}) == 1
    grant = await app.grant(subject)
    racers = await asyncio.gather(*(app.complete(*grant) for _ in range(10)))
    assert sorted(answer.status_code for answer in racers) == [200] + [400] * 9


async def test_a_disabled_account(app: App, oauth_service: ServiceProcess) -> None:
    """403, as after the right password, and also to who claims its address."""
    subject, email = new_subject(), new_email()
    ann = person(app, await app.log_in(subject, email))
    with closing(sqlite3.connect(oauth_service.directory / "var/service.db")) as store, store:
        store.execute(
            "UPDATE users SET disabled_at = 1, version = version + 1 WHERE id = ?", (ann.user_id,)
        )
    assert code_of(await app.log_in(subject)) == (403, "account_disabled")
    assert code_of(await app.log_in("", email)) == (403, "account_disabled")
    assert code_of(await app.log_in("", email, None)) == (409, "link_required")


async def test_addresses_that_are_verified_first(
    app: App, oauth_service: ServiceProcess, provider: Provider, tmp_path: Path
) -> None:
    """403 to an account whose address nobody has verified, and to a free address that nobody has
    claimed, of which no account is made; who claims an address logs in as ever."""
    refused = 403, "email_not_verified"
    unverified, email, free = new_subject(), new_email(), new_email()
    assert (await app.log_in(unverified, email, False)).status_code == 201
    settings = settings_for(provider) | {
        "SERVICE_EMAIL_VERIFICATION": "required",
        "SERVICE_MAIL_URL": f"file://{tmp_path}/mail",
    }
    demanding = oauth_service.beside(tmp_path, **settings).start()
    try:
        async with httpx.AsyncClient(base_url=demanding.url, timeout=30) as http:
            there = App(http, provider)
            assert code_of(await there.log_in(unverified)) == refused
            assert code_of(await there.log_in("", free, False)) == refused
            assert code_of(await there.at("two").log_in("", free)) == refused
            for known, address, answered in ((unverified, email, 403), ("", email, 200)):
                assert (await there.log_in(known, address)).status_code == answered
            for answered in (201, 200):
                assert (await there.log_in("", free)).status_code == answered
    finally:
        assert demanding.stop() == 0
