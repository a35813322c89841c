"""The previous release and this one, side by side on one Redis and one user store.

The previous one comes out of the history; a clone that has none reads the vectors of
`tests/sessions/test_stored_vectors.py` and no more.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.service_process import (
    PATIENT,
    Person,
    ServiceProcess,
    claims_of,
    code_of,
    sign_up,
)

from tests.support.living import living
from tests.support.looking import ON_VALKEY, events
from tests.support.two_factor import let_steps_pass, new_holder
from tests.support.user_stores import NewUserStore

PREVIOUS = json.loads((REPOSITORY / "tests/vectors/stored-v1.json").read_text())["previous"]

pytestmark = ON_VALKEY

Neighbours = tuple[httpx.AsyncClient, httpx.AsyncClient]


@pytest.fixture(scope="session")
def previous_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The previous release, as it was."""
    archive = subprocess.run(
        ["git", "archive", PREVIOUS, "service", "redis.conf"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        pytest.skip("this clone has no history")
    directory = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(directory, filter="data")
    found = subprocess.run(
        [sys.executable, "-P", "-c", "import service; print(service.__file__)"],
        env=os.environ | {"PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.startswith(str(directory)), "this is what runs below"
    return directory


@pytest.fixture(scope="module")
def old_and_new(
    previous_code: Path,
    redis_server: RedisServer,
    new_user_store: NewUserStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[ServiceProcess]]:
    """A pod of the previous release and one of this, on one user store."""
    directory = tmp_path_factory.mktemp("old")
    with new_user_store(directory) as store:
        own = {"SERVICE_DATA_DIR": str(directory / "var"), "SERVICE_COOKIES": "on"}
        shared = PATIENT | dict(store.settings) | own
        old = ServiceProcess(
            directory,
            redis_server.url,
            ("-P", "-m", "service"),
            **shared,
            PYTHONPATH=str(previous_code),
        )
        new = ServiceProcess(tmp_path_factory.mktemp("new"), redis_server.url, **shared)
        with living("old_and_new", old.start(), new.start()):
            yield [old, new]
        assert (old.stop(), new.stop()) == (0, 0)


@pytest.fixture
async def pods(old_and_new: list[ServiceProcess], keys: RedisServer) -> AsyncIterator[Neighbours]:
    """Clients of the old one and of the new one."""
    old, new = (pod.url for pod in old_and_new)
    async with (
        httpx.AsyncClient(base_url=old, timeout=30) as before,
        httpx.AsyncClient(base_url=new, timeout=30) as after,
    ):
        yield before, after


def at(person: Person, pod: httpx.AsyncClient) -> Person:
    return Person(pod, person.email, person.tokens)


@pytest.mark.parametrize("new_user_store", ["sqlite"], indirect=True)  # which asks none
async def test_chains_of_refreshes(pods: Neighbours, keys: RedisServer) -> None:
    """Every order of the two, with racing callers on both, and handoffs to elsewhere: each spent
    token gets the one successor, no session is lost, and a theft is a theft on either."""
    for pattern in range(16):
        person = await sign_up(pods[pattern & 1])
        for bit in range(8):
            here, there = pods[pattern >> bit % 4 & 1], pods[1 - (pattern >> bit % 4 & 1)]
            fresh = await at(person, here).refresh()
            assert fresh.status_code == 200, fresh.text
            again = await there.post(
                "/auth/refresh",
                json={"refreshToken": person.tokens["refreshToken"]},
                headers={"User-Agent": "another"} if bit % 3 != 2 else {},
            )
            assert again.status_code == 200, again.text
            assert again.json()["refreshToken"] == fresh.json()["refreshToken"]
            spent, person = person, person.holding(fresh.json())
        for pod in pods:
            assert (await at(person, pod).me()).status_code == 200
            assert len((await at(person, pod).sessions()).json()["sessions"]) == 1
        fresh = await at(person, pods[pattern >> 1 & 1]).refresh()
        assert code_of(await at(spent, pods[pattern >> 2 & 1]).refresh()) == (
            401,
            "refresh_token_reused",
        )
        assert (await at(person, pods[0]).me()).status_code == 401
    assert not [row for row in events(keys, person.user_id) if row["type"] == "user.loggedOut"]


async def test_logins_and_ends(pods: Neighbours) -> None:
    """What one opens the other lists and ends."""
    for opening, ending in (pods, pods[::-1]):
        person = await sign_up(opening)
        second = await at(person, ending).log_in()
        third = await at(person, opening).log_in()
        assert (await at(person, ending).end(third.session_id)).status_code == 204
        assert (await at(third, opening).me()).status_code == 401
        assert (await at(second, opening).log_out()).status_code == 204
        assert (await at(person, ending).log_out_everywhere()).json() == {"revoked": 1}


async def test_the_second_factor(pods: Neighbours, keys: RedisServer) -> None:
    """Begun here, confirmed there; challenged here, answered there; off here, and so there; the
    version that either has noted is good for both."""
    for here, there in (pods, pods[::-1]) * 2:
        ann = await new_holder(here)
        await ann.begin()
        answer = await ann.verify(client=there)
        assert answer.status_code == 200, answer.text
        ann.recovery_codes = answer.json()["recoveryCodes"]
        for pod in (here, there):
            assert await ann.two_fa(pod) == (True, 10)
        challenge = await ann.challenge()
        answer = await ann.answer(challenge, ann.phone.code(1), there)
        assert answer.status_code == 200, answer.text
        assert claims_of(answer.json()["accessToken"])["amr"] == ["pwd", "otp", "mfa"]
        strong = ann.holding(answer.json())
        let_steps_pass(keys)
        assert (await ann.renew(ann.phone.code(), there)).status_code == 200
        let_steps_pass(keys)
        assert (await ann.disable(ann.phone.code(), here)).status_code == 204
        for pod in (there, here):
            assert await ann.two_fa(pod) == (False, 0)
            assert (await ann.password(pod)).status_code == 200
        strong = strong.holding((await at(strong, pods[1]).refresh()).json())
        assert claims_of(strong.tokens["accessToken"])["amr"] == ["pwd"]


async def test_sessions_of_who_has_a_second_factor(pods: Neighbours, keys: RedisServer) -> None:
    """Whichever has opened one, both rotate it, say whose it is, and end it."""
    for here, there in (pods, pods[::-1]):
        ann = await (await new_holder(here)).enrol()
        let_steps_pass(keys)
        answer = await ann.answer(await ann.challenge(), ann.phone.code())
        assert answer.status_code == 200, answer.text
        strong = ann.holding(answer.json())
        for pod in (there, here, here, there, there, here):
            fresh = await at(strong, pod).refresh()
            assert fresh.status_code == 200, fresh.text
            strong = strong.holding(fresh.json())
            assert claims_of(strong.tokens["accessToken"])["amr"] == ["pwd", "otp", "mfa"]
            for each in pods:
                me = await at(strong, each).me()
                assert me.status_code == 200, me.text
        assert (await at(strong, there).log_out()).status_code == 204
        for pod in pods:
            assert (await at(strong, pod).me()).status_code == 401
            assert code_of(await at(strong, pod).refresh()) == (401, "invalid_refresh_token")


@pytest.mark.parametrize("new_user_store", ["sqlite"], indirect=True)
async def test_recovery_codes_and_cookies(pods: Neighbours, keys: RedisServer) -> None:
    """A code is good at either, once; and the cookie of either at both."""
    for here, there in (pods, pods[::-1]):
        ann = await (await new_holder(here)).enrol()
        code = ann.recovery_codes[0]
        answer = await ann.answer(
            await ann.challenge(), code, there, **{"X-Session-Mode": "cookie"}
        )
        assert answer.status_code == 200, answer.text
        assert code_of(await ann.answer(await ann.challenge(), code)) == (401, "invalid_code")
        for pod in (here, there, there, here):
            sent = {
                "Cookie": answer.headers["set-cookie"].partition(";")[0],
                "Origin": str(pod.base_url),
            }
            pod.cookies.clear()
            answer = await pod.post("/auth/refresh", headers=sent)
            assert answer.status_code == 200, answer.text
            assert "refreshToken" not in answer.json()
            ann = ann.holding(answer.json())
            assert claims_of(ann.tokens["accessToken"])["amr"] == ["pwd", "mfa"]
            for each in pods:
                assert (await at(ann, each).me()).status_code == 200


@pytest.mark.parametrize("new_user_store", ["sqlite"], indirect=True)
async def test_ends_and_introspection(
    pods: Neighbours, keys: RedisServer, old_and_new: list[ServiceProcess]
) -> None:
    """What has ended at one is over at both, for its person and for who holds an API key."""
    new = old_and_new[1]
    made = new.command("api-keys", "create", "gate", "--scopes", "introspect", "--json")
    key = {"Authorization": f"Bearer {json.loads(made)['key']}"}

    async def active(person: Person) -> set[bool]:
        """What both say of both tokens, and of their owner."""
        found = set()
        for pod in pods:
            for token in (person.tokens["accessToken"], person.tokens["refreshToken"]):
                answer = await pod.post("/oauth/introspect", data={"token": token}, headers=key)
                found.add(answer.json()["active"])
            found.add((await at(person, pod).me()).status_code == 200)
        return found

    for here, there in (pods, pods[::-1]):
        ann = await (await new_holder(here)).enrol()
        sessions = []
        for pod in (here, there, here, there):
            let_steps_pass(keys)
            answer = await ann.answer(await ann.challenge(), ann.phone.code(), pod)
            sessions.append(ann.holding(answer.json()))
        for each in sessions:
            assert await active(each) == {True}
        out, other, kept, gone = sessions
        assert (await at(out, there).log_out()).status_code == 204
        assert await active(out) == {False}
        assert (await at(kept, there).end(other.session_id)).status_code == 204
        assert await active(other) == {False}
        ended = await at(kept, there).log_out_everywhere(keepCurrent=True)
        assert ended.json() == {"revoked": 2}, "and the one of the signup"
        assert await active(gone) == {False}
        assert await active(kept) == {True}
        new.command("cutoff", "--yes", "--reason", "a test")
        assert await active(kept) == {False}
