"""What guards make of changes of an account, and of a proof within a session."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tools.testbed.access import GUARD
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, ServiceProcess
from tools.testbed.waiting import eventually

from service.guard import Verifier
from tests.authentication.test_own_account import delete
from tests.authentication.test_password_change import change
from tests.authentication.test_reauthentication import renewed
from tests.guard.guards import refuses, verdict
from tests.support.looking import ON_VALKEY
from tests.support.proofs import let_time_pass
from tests.support.two_factor import Holder

pytestmark = ON_VALKEY


@pytest.fixture
async def guard(service: ServiceProcess, keys: RedisServer) -> AsyncIterator[Verifier]:
    """A guard of an app that trusts `service`."""
    async with Verifier(
        issuer="http://127.0.0.1:8000",
        audience="openshow",
        jwks_url=f"{service.url}/.well-known/jwks.json",
        redis_url=keys.url_of(GUARD).reveal(),
    ) as verifier:
        yield verifier


async def accepted(guard: Verifier, *people: Person) -> None:
    for person in people:
        token = person.tokens["accessToken"]

        async def is_accepted(token: str = token) -> bool:
            return await verdict(guard, token) == "accepted"

        await eventually(is_accepted)


async def refused(guard: Verifier, *people: Person) -> None:
    for person in people:
        token = person.tokens["accessToken"]
        await eventually(lambda token=token: refuses(guard, token))


async def test_a_changed_password(ann: Holder, bob: Holder, guard: Verifier) -> None:
    """All tokens of before are refused, those of the new session and of others are not."""
    other = await ann.log_in()
    await accepted(guard, ann, other, bob)
    after = ann.holding((await change(ann)).json())
    await refused(guard, ann, other)
    await accepted(guard, after, bob)


async def test_a_deleted_account(ann: Holder, bob: Holder, guard: Verifier) -> None:
    """Nothing of it is accepted."""
    other = await ann.log_in()
    await accepted(guard, ann, other, bob)
    assert (await delete(ann)).status_code == 204
    await refused(guard, ann, other)
    await accepted(guard, bob)


async def test_others_that_end(ann: Holder, guard: Verifier) -> None:
    """With the second factor; the session that has asked is accepted, refreshed or not."""
    other = await ann.log_in()
    await ann.begin()
    await accepted(guard, ann, other)
    body = {
        "tempSecretId": ann.temp_secret_id,
        "code": ann.phone.code(),
        "endOtherSessions": True,
    }
    answer = await ann.client.post("/auth/2fa/verify", json=body, headers=ann.bearer)
    assert answer.status_code == 200, answer.text
    await refused(guard, other)
    await accepted(guard, ann, ann.holding((await ann.refresh()).json()))


async def test_a_proof_within_a_session(bob: Holder, guard: Verifier, keys: RedisServer) -> None:
    """An identity has the new time and methods, and the session is the same one."""
    let_time_pass(keys, bob, 5000)
    old = bob.holding((await bob.refresh()).json())
    after = await renewed(old, code=bob.phone.code(1))
    await accepted(guard, old, after)
    before: Any = await guard.verify(old.tokens["accessToken"])
    now = await guard.verify(after.tokens["accessToken"])
    assert (now.session_id, now.user_id) == (before.session_id, before.user_id)
    assert now.auth_time > before.auth_time + 4000
    assert (before.methods, now.methods) == (("pwd",), ("pwd", "otp", "mfa"))
    let_time_pass(keys, after, 4000)
    later = await after.refresh()
    stale = await guard.verify(later.json()["accessToken"])
    assert stale.auth_time < now.auth_time - 3000, "a refresh is no proof"
    assert PASSWORD not in repr(stale)
