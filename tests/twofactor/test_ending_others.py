"""`endOtherSessions`: with a change of the second factor all sessions end but the one that asks."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, claims_of, code_of

from service.errors import AlreadyEnabled, InvalidCode, NotEnabled
from tests.support.looking import ON_VALKEY, events
from tests.support.two_factor import Holder, let_steps_pass
from tests.twofactor.pods import Pod, Pods, Somebody, finished


async def verify(ann: Holder, code: str | None = None, **more: Any) -> httpx.Response:
    body = {"tempSecretId": ann.temp_secret_id, "code": code or ann.phone.code()} | more
    return await ann.client.post("/auth/2fa/verify", json=body, headers=ann.bearer)


async def disable(bob: Holder, code: str | None = None, **more: Any) -> httpx.Response:
    body = {"code": code or bob.phone.code(1)} | more
    return await bob.client.post("/auth/2fa/disable", json=body, headers=bob.bearer)


async def renew(bob: Holder, code: str | None = None, **more: Any) -> httpx.Response:
    body = {"code": code or bob.phone.code(1)} | more
    return await bob.client.post("/auth/2fa/recovery-codes", json=body, headers=bob.bearer)


Change = Callable[..., Awaitable[httpx.Response]]
CHANGES = pytest.mark.parametrize(
    ("change", "event"),
    [
        (verify, "twoFA.enabled"),
        (disable, "twoFA.disabled"),
        (renew, "twoFA.recoveryCodesRenewed"),
    ],
)


async def with_others(change: Change, ann: Holder, bob: Holder) -> tuple[Holder, list[Person]]:
    """Whoever can make this change, and two other sessions of theirs."""
    if change is verify:
        await ann.begin()
        return ann, [await ann.log_in(), await ann.log_in()]
    others = []
    for code in bob.recovery_codes[:2]:
        answer = await bob.answer(await bob.challenge(), code)
        others.append(bob.holding(answer.json()))
    return bob, others


@CHANGES
async def test_all_others_end(
    ann: Holder,
    bob: Holder,
    elsewhere: httpx.AsyncClient,
    keys: RedisServer,
    change: Change,
    event: str,
) -> None:
    """At every pod by the time of the answer, which stays as it was; the one that asks goes on."""
    who, others = await with_others(change, ann, bob)
    answer = await change(who, endOtherSessions=True)
    assert answer.status_code == (204 if change is disable else 200), answer.text
    fields = {verify: {"enabled", "recoveryCodes"}, renew: {"recoveryCodes"}, disable: set()}
    assert set(answer.json() if answer.content else ()) == fields[change]
    for client in (who.client, elsewhere):
        for other in others:
            there = Person(client, other.email, other.tokens)
            assert code_of(await there.me()) == (401, "unauthorized")
            assert code_of(await there.refresh()) == (401, "invalid_refresh_token")
        assert (await Person(client, who.email, who.tokens).me()).status_code == 200
    assert len((await who.sessions()).json()["sessions"]) == 1
    assert (await who.refresh()).status_code == 200
    enabled, left = await who.two_fa(elsewhere)
    assert (enabled, left) == ((False, 0) if change is disable else (True, 10))
    told = events(keys, who.user_id)
    assert [row["type"] for row in told].count(event) == 1
    [ended] = [row for row in told if row.get("count")]
    assert (ended["count"], ended["reason"], ended["by"]) == ("2", event, who.session_id)


@CHANGES
async def test_none_ends_unasked(ann: Holder, bob: Holder, change: Change, event: str) -> None:
    """As ever: by default, and with `false`."""
    who, others = await with_others(change, ann, bob)
    assert (await change(who, endOtherSessions=False)).status_code < 300
    for other in others:
        assert (await other.me()).status_code == 200


@CHANGES
async def test_none_ends_without_the_change(
    ann: Holder, bob: Holder, change: Change, event: str
) -> None:
    """A wrong code, and a wrong type, end nothing."""
    who, others = await with_others(change, ann, bob)
    refused = await change(who, who.phone.wrong(), endOtherSessions=True)
    assert code_of(refused) == (400, "invalid_code")
    for odd in ("true", 1, None, []):
        answer = await change(who, endOtherSessions=odd)
        assert code_of(answer) == (400, "bad_request")
        [detail] = answer.json()["error"]["details"]
        assert detail["field"] == "endOtherSessions"
    for other in others:
        assert (await other.me()).status_code == 200


async def test_amr_follows(bob: Holder, keys: RedisServer) -> None:
    """The session that stays claims no factor once that is off."""
    answer = await bob.answer(await bob.challenge(), bob.phone.code(1))
    strong = bob.holding(answer.json())
    assert claims_of(strong.tokens["accessToken"])["amr"] == ["pwd", "otp", "mfa"]
    let_steps_pass(keys)
    body = {"code": bob.phone.code(1), "endOtherSessions": True}
    answer = await bob.client.post("/auth/2fa/disable", json=body, headers=strong.bearer)
    assert answer.status_code == 204, answer.text
    refreshed = await strong.refresh()
    assert claims_of(refreshed.json()["accessToken"])["amr"] == ["pwd"]
    assert (await bob.me()).status_code == 401


async def test_logins_that_race_with_it(ann: Holder, elsewhere: httpx.AsyncClient) -> None:
    """By the password alone, at two pods, while 2FA goes on: whoever got in is out."""
    await ann.begin()
    clients = [ann.client, elsewhere] * 4
    *logins, answer = await asyncio.gather(
        *(ann.password(client) for client in clients), verify(ann, endOtherSessions=True)
    )
    assert answer.status_code == 200, answer.text
    for login in logins:
        assert login.status_code in (200, 202, 503), login.text
        if login.status_code == 200:
            inside = ann.holding(login.json())
            assert code_of(await inside.me()) == (401, "unauthorized")
            assert (await inside.refresh()).status_code == 401
    assert (await ann.me()).status_code == 200


async def turn_on(pod: Pod, ann: Somebody, pods: Pods) -> None:
    await pod.services.enrolments.verify(
        ann.id, ann.temp_secret_id, pods.code(ann), CLIENT, keep=ann.caller.session_id
    )


async def turn_off(pod: Pod, ann: Somebody, pods: Pods) -> None:
    await pod.services.second_factor.disable(
        ann.id, pods.code(ann), CLIENT, keep=ann.caller.session_id
    )


async def renewed(pod: Pod, ann: Somebody, pods: Pods) -> None:
    await pod.services.second_factor.renew_recovery_codes(
        ann.id, pods.code(ann), CLIENT, keep=ann.caller.session_id
    )


@ON_VALKEY  # a crash between Redis and the user store is the same on any
@pytest.mark.parametrize("change", [turn_on, turn_off, renewed])
async def test_killed_at_each_step(pods: Pods, keys: RedisServer, change: Any) -> None:
    """All pods say what the row says; the caller's session is never lost; where the row was
    changed, all others have ended; repeated, the change completes, or was complete."""
    here, there = pods
    for point in itertools.count():
        if change is turn_on:
            ann = await pods.sign_up()
            await here.begin(ann)
            other = (await there.password(ann)).tokens
        else:
            ann = await pods.enrolled()
            other = (await there.answer(await there.challenge(ann), ann.recovery_codes[0])).tokens
        caller = here.services.access_tokens.verify(other.access_token)
        before = codes_of(pods, ann)
        here.fuse.left = point
        done = await finished(change(here, ann, pods))
        here.fuse.left = None
        assert await pods.agree(ann), point
        if codes_of(pods, ann) != before:
            assert not await lives(there, ann, caller.session_id), point
        if not done:
            if change is not turn_on:
                pods.watch.advance()
            try:
                await change(there, ann, pods)
            except (AlreadyEnabled, NotEnabled):
                pass
            except InvalidCode:
                raise AssertionError(point) from None
        assert pods.truth(ann)[0] == (change is not turn_off), point
        assert await pods.agree(ann), point
        assert await there.shows(ann), "the session that has asked goes on"
        assert not await lives(there, ann, caller.session_id), point
        if done:
            break
    assert point >= 8


def codes_of(pods: Pods, ann: Somebody) -> set[bytes]:
    """What the row has of recovery codes: none while 2FA is off, others once they are renewed."""
    rows = pods.store.ask("SELECT digest FROM recovery_codes WHERE user_id = $1", ann.id)
    return {bytes(digest) for (digest,) in rows}


async def lives(pod: Pod, ann: Somebody, session_id: bytes) -> bool:
    living = await pod.services.sessions.all_of(ann.caller, CLIENT)
    return session_id in {session.id for session in living}
