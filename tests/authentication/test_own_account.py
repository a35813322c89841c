"""Deleting and exporting one's own account over HTTP, after a recent proof of who one is."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, code_of

from service.redis.keys import bucket
from tests.authentication.test_reauthentication import renewed
from tests.support.looking import ON_VALKEY, events
from tests.support.proofs import let_time_pass
from tests.support.two_factor import Holder, new_holder

pytestmark = ON_VALKEY

NOT_RECENT = (401, "insufficient_user_authentication")


async def delete(person: Person) -> httpx.Response:
    return await person.client.post("/auth/account/delete", headers=person.bearer)


async def export(person: Person) -> httpx.Response:
    return await person.client.get("/auth/account/export", headers=person.bearer)


@pytest.mark.parametrize("call", [delete, export])
async def test_it_must_be_recent(ann: Holder, bob: Holder, keys: RedisServer, call: Any) -> None:
    """By the second factor where there is one; a refresh is no proof."""
    let_time_pass(keys, ann, 601)
    refreshed = ann.holding((await ann.refresh()).json())
    for person in (refreshed, bob):  # bob's session is of before his factor
        answer = await call(person)
        assert code_of(answer) == NOT_RECENT
        assert answer.headers["www-authenticate"] == (
            'Bearer realm="openshow", error="insufficient_user_authentication", max_age="600"'
        )
    assert (await call(await renewed(refreshed, password=PASSWORD))).status_code < 300
    assert (await call(await renewed(bob, code=bob.recovery_codes[0]))).status_code < 300


async def test_after_deleting(bob: Holder, keys: RedisServer) -> None:
    """Sessions, factor, challenges and pending enrolments are gone; the address is free."""
    other, challenge = await renewed(bob, code=bob.phone.code(1)), await bob.challenge()
    deleting = await renewed(other, code=bob.recovery_codes[0])
    answer = await delete(deleting)
    assert (answer.status_code, answer.content) == (204, b"")
    for person in (bob, deleting):
        assert code_of(await person.me()) == (401, "unauthorized")
        assert code_of(await person.sessions()) == (401, "unauthorized")
    assert code_of(await deleting.refresh()) == (401, "invalid_refresh_token")
    assert code_of(await delete(deleting)) == (401, "unauthorized")
    assert code_of(await bob.password()) == (401, "invalid_credentials")
    wanted = (401, "challenge_not_found")
    assert code_of(await bob.answer(challenge, bob.recovery_codes[1])) == wanted
    again = await new_holder(bob.client, bob.email)
    assert again.user_id != bob.user_id
    assert await again.two_fa() == (False, 0)
    told = events(keys, bob.user_id)
    assert told[-1]["type"] == "user.deleted", "the events stay"
    assert told[-1]["by"] == deleting.session_id


async def test_a_pending_enrolment_goes_too(ann: Holder, keys: RedisServer) -> None:
    """And with it its sealed secret."""
    await ann.begin()
    assert (await delete(ann)).status_code == 204
    with keys.client() as client:
        assert not client.exists(bucket(ann.user_id).pending + ann.user_id)
    assert (await ann.verify()).status_code == 401


async def test_deleting_races_with_logins(ann: Holder) -> None:
    """Whoever was let in by the old row is outside afterwards."""
    answers = await asyncio.gather(*(ann.password() for _ in range(6)), delete(ann))
    assert answers[-1].status_code == 204
    for answer in answers[:-1]:
        assert answer.status_code in (200, 401, 503), answer.text
        if answer.status_code == 200:
            assert (await ann.holding(answer.json()).me()).status_code == 401
            assert (await ann.holding(answer.json()).refresh()).status_code == 401


async def test_what_is_exported(bob: Holder, keys: RedisServer) -> None:
    """All that is kept of the account and nobody else's; it is an event, and not to be kept."""
    stranger = await new_holder(bob.client)
    asking = await renewed(bob, code=bob.recovery_codes[0])
    other = bob.holding((await bob.answer(await bob.challenge(), bob.phone.code(1))).json())
    answer = await export(asking)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {
        "exportedAt", "account", "sessions", "factors", "identities", "events",
    }  # fmt: skip
    assert body["account"] == {
        "id": bob.user_id.hex(),
        "email": bob.email,
        "emailVerified": False,
        "createdAt": body["account"]["createdAt"],
        "passwordChangedAt": None,
    }
    assert body["sessions"] == (await asking.sessions()).json()["sessions"]
    assert {each["id"] for each in body["sessions"]} == {asking.session_id, other.session_id}
    assert [each["id"] for each in body["sessions"] if each["current"]] == [asking.session_id]
    assert body["factors"] == [{"type": "totp"}, {"type": "recovery_code", "left": 9}]
    kept = events(keys, bob.user_id)
    assert [each["id"] for each in body["events"]] == [each["id"] for each in kept]
    assert body["events"][-1]["type"] == "user.exported"
    assert body["events"][-1]["by"] == asking.session_id
    first = body["events"][0]
    assert (first["type"], first["session"]) == ("user.signedUp", bob.session_id)
    assert "user" not in first
    told = datetime.fromisoformat(first["at"])
    assert abs((datetime.now(UTC) - told).total_seconds()) < 60
    assert int(first["id"].split("-")[0]) == round(told.timestamp() * 1000)
    assert stranger.email not in answer.text


async def test_nothing_secret_is_exported(bob: Holder) -> None:
    """No token, digest, hash, secret or code."""
    asking = await renewed(bob, code=bob.recovery_codes[0])
    answer = await export(asking)
    text = answer.text
    for secret in (
        asking.tokens["refreshToken"], asking.tokens["accessToken"], PASSWORD, "$2b$", "osr_",
        bob.phone.totp.secret, *bob.recovery_codes,
    ):  # fmt: skip
        assert secret not in text
    names: set[str] = set()

    def collect(value: Any) -> None:
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, dict | list):
                collect(each)
        names.update(value if isinstance(value, dict) else ())

    collect(json.loads(text))
    assert not {name for name in names if "hash" in name.lower() or "secret" in name.lower()}


async def test_once_an_hour(ann: Holder, keys: RedisServer) -> None:
    """Whatever session asks; an attempt that was not recent does not count."""
    let_time_pass(keys, ann, 601)
    assert code_of(await export(ann)) == NOT_RECENT
    other = await ann.log_in()
    assert (await export(other)).status_code == 200
    for person in (other, await ann.log_in()):
        answer = await export(person)
        assert code_of(answer) == (429, "rate_limited")
        assert 3500 < int(answer.headers["retry-after"]) <= 3600
    types = [row["type"] for row in events(keys, ann.user_id)]
    assert types.count("user.exported") == 1
    nobody = await new_holder(ann.client)
    assert (await export(nobody)).status_code == 200, "it is hers alone"


async def test_racing_exports(ann: Holder) -> None:
    """One of twenty."""
    answers = await asyncio.gather(*(export(ann) for _ in range(20)))
    assert [answer.status_code for answer in answers].count(200) == 1


async def test_before_anything_has_happened(ann: Holder) -> None:
    """An account without a factor has none to show; a changed password says when."""
    body = {"currentPassword": PASSWORD, "newPassword": "a wholly different phrase"}
    answer = await ann.client.post("/auth/password/change", json=body, headers=ann.bearer)
    changed = ann.holding(answer.json())
    exported = (await export(changed)).json()
    assert exported["factors"] == []
    assert exported["account"]["passwordChangedAt"] >= exported["account"]["createdAt"]
