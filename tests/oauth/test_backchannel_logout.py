"""A provider that logs people out: their sessions here end with it."""

import asyncio
import time
from typing import Any

import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import code_of, sign_up

from tests.support.looking import ON_VALKEY, events
from tests.support.provider import LOGOUT_EVENT, Key, Provider, broken, new_subject
from tests.support.provider_app import App, fragment_of, new_email, person
from tests.support.two_factor import Holder

pytestmark = ON_VALKEY

NOW = int(time.time())


async def test_by_subject_and_by_session(app: App, provider: Provider, keys: RedisServer) -> None:
    """Of a session there those that it has opened here; of a subject all that it has opened."""
    subject, email = new_subject(), new_email()
    a = person(app, await app.log_in(subject, email, sid="a"))
    b = person(app, await app.log_in(subject, sid="b"))
    neither = person(app, await app.log_in(subject))
    other = person(app, await app.log_in("", new_email(), sid="c"))
    assert (await app.log_out(provider.logout_token("one", sid="a"))).status_code == 200
    assert [(await each.me()).status_code for each in (a, b, neither, other)] == [
        401, 200, 200, 200,
    ]  # fmt: skip
    assert (await a.refresh()).status_code == 401
    answer = await app.log_out(provider.logout_token("one", sub=subject))
    assert answer.status_code == 200
    assert (answer.content, answer.headers["cache-control"]) == (b"", "no-store")
    assert answer.headers["content-length"] == "0"
    assert [(await each.me()).status_code for each in (b, neither, other)] == [401, 401, 200]
    ended = [event for event in events(keys, a.user_id) if event["type"] == "session.revoked"]
    assert {(event["reason"], event["by"]) for event in ended} == {("provider", "provider:one")}
    assert len(ended) == 3
    assert (await app.log_in(subject)).status_code == 200  # a new login there is another one


async def test_sessions_of_other_logins_stay(app: App, provider: Provider) -> None:
    """Those by a password, and those of the other provider."""
    ann, subject = await sign_up(app.http), new_subject()
    assert (await app.log_in(subject, bearer=ann.bearer)).status_code == 200
    fed = person(app, await app.log_in(subject))
    await app.at("two").log_out(provider.logout_token("two", sub=subject))
    assert (await fed.me()).status_code == 200
    await app.log_out(provider.logout_token("one", sub=subject))
    assert [(await each.me()).status_code for each in (ann, fed)] == [200, 401]


async def test_a_login_on_its_way_ends_too(app: App, provider: Provider) -> None:
    """Between the provider's answer and complete, and before the second factor."""
    subject, email = new_subject(), new_email()
    ann = person(app, await app.log_in(subject, email, sid="x"))
    grant = await app.grant(subject, claims={"sid": "y"})
    await app.log_out(provider.logout_token("one", sid="y"))
    assert code_of(await app.complete(*grant)) == (400, "invalid_grant")
    assert len((await ann.sessions()).json()["sessions"]) == 1
    holder = await Holder(app.http, email, ann.tokens).enrol()
    challenge = (await app.log_in(subject)).json()["challengeId"]
    await app.log_out(provider.logout_token("one", sub=subject))
    code = {"challengeId": challenge, "code": holder.phone.code(1)}
    second = await app.http.post("/auth/login/2fa", json=code)
    assert code_of(second) == (401, "challenge_not_found")


@pytest.mark.parametrize("named", [{"sid": "z"}, {}], ids=["by session", "by subject"])
async def test_a_logout_that_overtakes_the_login(
    app: App, provider: Provider, named: dict[str, str]
) -> None:
    """It comes while the person is still on the way back from the provider: that login is over.

    One that was begun after it is not, nor that of anybody else.
    """
    subject, email = new_subject(), new_email()
    told = {"email": email, "email_verified": True} | named
    url, verifier = await app.start()
    sent = provider.log_in(url, subject, claims=told)
    other = await app.start()
    await app.log_out(provider.logout_token("one", **({"sub": subject} | named)))
    there = fragment_of(await app.come_back(sent))
    assert code_of(await app.complete(there["grant"], verifier)) == (400, "invalid_grant")
    bob = fragment_of(await app.come_back(provider.log_in(other[0], claims={"email": new_email()})))
    assert (await app.complete(bob["grant"], other[1])).status_code == 201
    again = await app.log_in(subject, email, **named)
    assert again.status_code == 201, "nothing was made by the one that is over"
    assert (await person(app, again).me()).status_code == 200


OTHER = Key("other")
UNDER_THE_SAME_NAME = Key("first")

WRONG: dict[str, dict[str, Any]] = {
    "typ of an access token": {"header_typ": "at+jwt"},
    "no events": {"events": None},
    "another event": {"events": {"https://example.com/other": {}}},
    "events that are a list": {"events": [LOGOUT_EVENT]},
    "an event that is no object": {"events": {LOGOUT_EVENT: True}},
    "a nonce": {"nonce": "n"},
    "an empty nonce": {"nonce": ""},
    "nobody": {"sub": None},
    "a sub that is a number": {"sub": 1},
    "a sid that is empty": {"sid": ""},
    "no jti": {"jti": None},
    "a jti that is a number": {"jti": 7},
    "no iss": {"iss": None},
    "another iss": {"iss": "https://other.example"},
    "no aud": {"aud": None},
    "another aud": {"aud": "app-two"},
    "more aud": {"aud": ["app-one", "app-two"]},
    "no iat": {"iat": None},
    "iat ahead": {"iat": NOW + 3600},
    "iat long ago": {"iat": NOW - 3600},
    "iat of text": {"iat": str(NOW)},
    "no exp": {"exp": None},
    "over": {"iat": NOW - 300, "exp": NOW - 120},
    "a key that is not there": {"key": OTHER},
    "another key of that name": {"key": UNDER_THE_SAME_NAME},
}


async def test_what_is_no_logout_token(app: App, provider: Provider) -> None:
    """400 whatever is wrong, and the session lives."""
    subject = new_subject()
    ann = person(app, await app.log_in(subject, new_email()))
    for name, claims in WRONG.items():
        wrong = provider.logout_token("one", **{"sub": subject} | claims)
        assert code_of(await app.log_out(wrong)) == (400, "invalid_logout_token"), name
    for wrong in ("", "a.b.c", "x" * 30_000, provider.key.sign({"sub": subject})):
        assert code_of(await app.log_out(wrong)) == (400, "invalid_logout_token")
    assert (await ann.me()).status_code == 200
    right = provider.logout_token("one", sub=subject)
    for url, answered in (("two", 400), ("three", 404), ("github", 400)):
        assert (await app.at(url).log_out(right)).status_code == answered
    path = "/auth/oauth/one/backchannel-logout"
    assert (await app.http.post(path, json={"logout_token": right})).status_code == 415
    twice = await app.http.post(
        path,
        content=f"logout_token={right}&logout_token={right}",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert twice.status_code == 400
    assert (await ann.me()).status_code == 200
    assert (await app.log_out(right)).status_code == 200
    assert (await ann.me()).status_code == 401


async def test_it_counts_once(app: App, provider: Provider, keys: RedisServer) -> None:
    """Nobody ends later sessions by sending it again; racing, one of ten is taken."""
    subject = new_subject()
    await app.log_in(subject, new_email())
    token = provider.logout_token("one", sub=subject)
    answers = await asyncio.gather(*(app.log_out(token) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    ann = person(app, await app.log_in(subject))
    assert code_of(await app.log_out(token)) == (400, "invalid_logout_token")
    assert (await ann.me()).status_code == 200
    with keys.client() as client:
        (used,) = client.scan_iter(match="ticket:*:logout:*")
        assert 60_000 < client.pttl(used) <= 181_000  # as long as it would be accepted


async def test_a_new_key_is_fetched_and_no_flood(app: App, provider: Provider) -> None:
    """Of a key that is not known the provider is asked, and of a hundred such once."""
    subject = new_subject()
    ann = person(app, await app.log_in(subject, new_email()))
    before = provider.asked.count("/one/jwks")
    for _ in range(20):
        await app.log_out(provider.logout_token("one", sub=subject, key=Key("invented")))
    assert provider.asked.count("/one/jwks") - before <= 1
    assert (await ann.me()).status_code == 200
    with provider.doing("/jwks", broken):  # keys that are known need no provider
        token = provider.logout_token("one", sub=subject)
        assert (await app.log_out(token)).status_code == 200
    assert (await ann.me()).status_code == 401
