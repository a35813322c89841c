"""Pods keep user rows in memory, each for one version; no change leaves an old row in sight."""

import asyncio

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import ServiceProcess, code_of

from service.redis.keys import bucket
from tests.support.keys import session_prefix
from tests.support.looking import watching
from tests.support.two_factor import Holder, let_steps_pass
from tests.twofactor.pods import Pods

OFF, ON = (False, 0), (True, 10)


def noted(server: RedisServer, user_id: bytes) -> bytes | None:
    """The version that Redis has of a user's row."""
    with server.client() as client:
        version: bytes | None = client.hget(bucket(user_id).index + user_id, "v")
    return version


async def test_two_processes_never_disagree(
    ann: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer
) -> None:
    """While 2FA goes on and off, whoever asks after a change, wherever, sees it at once."""
    changes = 0
    allowed = [OFF]
    stop = asyncio.Event()

    async def look(client: httpx.AsyncClient) -> int:
        looks = 0
        while not stop.is_set():
            seen_before, may = changes, list(allowed)
            shown = await ann.two_fa(client)
            assert shown in may or changes != seen_before or shown in allowed
            looks += 1
        return looks

    lookers = [asyncio.create_task(look(c)) for c in (ann.client, elsewhere) for _ in range(3)]

    async def change(call: object, to: tuple[bool, int]) -> None:
        nonlocal changes
        allowed.append(to)
        assert (await call).status_code in (200, 204)  # type: ignore[misc]
        allowed[:] = [to]
        for client in (ann.client, elsewhere, ann.client, elsewhere):
            assert await ann.two_fa(client) == to
        changes += 1
        let_steps_pass(keys)

    for number in range(5):
        await ann.begin()
        here, there = [(ann.client, elsewhere), (elsewhere, ann.client)][number % 2]
        await change(ann.verify(client=here), ON)
        await change(ann.disable(ann.phone.code(), there), OFF)
    stop.set()
    assert sum(await asyncio.gather(*lookers)) > 50


@pytest.mark.one_server("MONITOR watches one server")
async def test_rows_are_asked_for_once(ann: Holder, keys: RedisServer) -> None:
    """After each change the version is a number again: pods may rely on their memory."""
    for step in (ann.enrol, lambda: ann.renew(ann.phone.code(1))):
        before = noted(keys, ann.user_id)
        await step()
        after = noted(keys, ann.user_id)
        assert after
        assert int(after) > int(before or 0)
    assert (await ann.answer(await ann.challenge(), ann.recovery_codes[0])).status_code == 401
    assert noted(keys, ann.user_id) == after, "what changes nothing raises nothing"
    with watching(keys) as seen:
        await ann.two_fa()
    assert seen.from_clients == ["EVALSHA"]


async def test_a_login_brings_the_version_back(
    ann: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer
) -> None:
    """A process that last saw 2FA off believes so no longer once the index has come and gone."""
    assert await ann.two_fa(elsewhere) == OFF
    await ann.enrol()
    with keys.client() as client:  # as if all of ann's sessions had expired
        client.delete(bucket(ann.user_id).index + ann.user_id)
    assert (await ann.me()).status_code == 401
    ann.tokens = (await ann.answer(await ann.challenge(), ann.phone.code(1))).json()
    for client in (elsewhere, ann.client):
        assert await ann.two_fa(client) == ON


async def test_the_version_is_no_session(
    keys: RedisServer, ann: Holder, shared_service: ServiceProcess
) -> None:
    """It neither counts as one nor is listed, ended or expires apart from them."""
    await ann.enrol()
    index = bucket(ann.user_id).index + ann.user_id
    with keys.client() as client:
        assert client.hexists(index, "v")
        assert 0 < client.pttl(index) <= 30 * 24 * 3600 * 1000
    for code in ann.recovery_codes[:3]:
        assert (await ann.answer(await ann.challenge(), code)).status_code == 200
    assert len((await ann.sessions()).json()["sessions"]) == 4
    assert code_of(await ann.end("76" + "0" * 22)) == (404, "session_not_found")
    assert (await ann.log_out_everywhere(keepCurrent=True)).json() == {"revoked": 3}
    assert await ann.two_fa() == (True, 7)
    assert (await ann.log_out_everywhere()).json() == {"revoked": 1}


async def test_the_cap_on_sessions_stays(pods: Pods, keys: RedisServer) -> None:
    """Fifty sessions beside a version are fifty; the fifty-first ends the oldest only."""
    here, _ = pods
    ann = await pods.enrolled()
    with keys.client() as client:
        index = bucket(ann.id).index + ann.id
        digest = client.hget(index, ann.caller.session_id)
        record = client.get(session_prefix(ann.id) + digest)
        for number in range(1, 50):
            copy = bytes([number]) * 32
            client.set(session_prefix(ann.id) + copy, record, ex=3600)
            client.hset(index, bytes([number]) * 12, copy)
        assert client.hlen(index) == 51
        await here.answer(await here.challenge(ann), pods.code(ann))
        assert client.hlen(index) == 51
        assert client.hexists(index, "v")


@pytest.mark.one_server("whatever the connection leads to")
async def test_redis_that_went_back_is_not_believed(pods: Pods, keys: RedisServer) -> None:
    """A pod with an old row in memory, for which a restored Redis says that it is current, asks the
    user store: it has connected anew since it read the row."""
    ann = await pods.sign_up()
    first, second = pods
    await first.begin(ann)
    await first.verify(ann, pods.code(ann))
    with keys.client() as client:
        client.hdel(bucket(ann.id).index + ann.id, "v")
    await second.services.sessions._redis.leave("restored")
    assert await second.shows(ann) == pods.truth(ann) == (True, 10)
