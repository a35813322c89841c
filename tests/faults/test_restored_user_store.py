"""The user store restored from a dump under running pods: soon they say what it says."""

import asyncio
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from tools.testbed.postgresql import find_binaries
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import ServiceProcess, claims_of, code_of
from tools.testbed.waiting import eventually

from tests.support.living import living
from tests.support.looking import ON_VALKEY
from tests.support.two_factor import Holder, let_steps_pass, new_holder
from tests.support.user_stores import NewUserStore, SqliteStore, UserStore

BOUND = 10.0
"""Seconds: three at the most, and what a busy machine takes."""

pytestmark = ON_VALKEY

Pods = list[httpx.AsyncClient]


@pytest.fixture(scope="module")
def store_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where SQLite keeps the user store of `two_pods`."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def store(new_user_store: NewUserStore, store_directory: Path) -> Iterator[UserStore]:
    """The user store of `two_pods`."""
    with new_user_store(store_directory) as store:
        yield store


@pytest.fixture(scope="module")
def two_pods(
    redis_server: RedisServer, store: UserStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ServiceProcess]]:
    """Two pods on one user store."""
    one = ServiceProcess(tmp_path_factory.mktemp("one"), redis_server.url, **store.settings)
    other = one.beside(tmp_path_factory.mktemp("other"), **store.settings)
    with living("two_pods", one.start(), other.start()):
        yield [one, other]
    assert (one.stop(), other.stop()) == (0, 0)


@pytest.fixture
async def pods(two_pods: list[ServiceProcess], keys: RedisServer) -> AsyncIterator[Pods]:
    """Clients of `two_pods`."""
    one, other = (pod.url for pod in two_pods)
    async with (
        httpx.AsyncClient(base_url=one, timeout=30) as client,
        httpx.AsyncClient(base_url=other, timeout=30) as second,
    ):
        yield [client, second]


@pytest.fixture
def restore(
    store: UserStore, store_directory: Path, tmp_path: Path
) -> Iterator[Callable[[], None]]:
    """Dumps the user store when it is first called, and restores that when it is called again."""
    file = tmp_path / "dump"

    def by_turns() -> None:
        if isinstance(store, SqliteStore):
            live = store_directory / "service.db"
            _copy(*((file, live) if file.exists() else (live, file)))
        elif file.exists():
            _run("pg_restore", "--clean", "--single-transaction", "-d", store.url, str(file))
        else:
            _run("pg_dump", "-Fc", "-f", str(file), store.url)

    yield by_turns
    assert file.exists()


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _run(program: str, *arguments: str) -> None:
    subprocess.run([find_binaries() / program, *arguments], check=True, capture_output=True)


async def shown(ann: Holder, pods: Pods, wanted: tuple[bool, int]) -> None:
    """Wait until all pods show this of her second factor."""

    async def all_show() -> bool:
        return [await ann.two_fa(pod) for pod in pods] == [wanted] * len(pods)

    await eventually(all_show, BOUND)


async def test_before_it_was_on(pods: Pods, restore: Callable[[], None], keys: RedisServer) -> None:
    """All pods show it as off, a password logs in, and it can be enabled anew and asked for."""
    ann = await new_holder(pods[0])
    restore()
    await ann.enrol()
    strong = (await ann.answer(await ann.challenge(), ann.phone.code(1))).json()
    await shown(ann, pods, (True, 10))
    restore()
    await shown(ann, pods, (False, 0))
    for pod in pods:
        answer = await ann.password(pod)
        assert answer.status_code == 200, "nobody is locked out"
        assert answer.json()["user"]["twoFA"]["enabled"] is False
    refreshed = (await ann.holding(strong).refresh()).json()
    assert claims_of(refreshed["accessToken"])["amr"] == ["pwd"]
    let_steps_pass(keys)
    await ann.enrol()
    await shown(ann, pods, (True, 10))
    assert [(await ann.password(pod)).status_code for pod in pods] == [202, 202]


async def test_while_it_was_on(pods: Pods, restore: Callable[[], None], keys: RedisServer) -> None:
    """And off by now: it is on again, a login is asked for a code, and the old codes work."""
    ann = await (await new_holder(pods[0])).enrol()
    restore()
    let_steps_pass(keys)
    assert (await ann.disable(ann.phone.code())).status_code == 204
    await shown(ann, pods, (False, 0))
    restore()
    await shown(ann, pods, (True, 10))
    assert code_of(await ann.enable()) == (400, "already_enabled")
    for pod, code in zip(pods, ann.recovery_codes, strict=False):
        challenge = (await ann.password(pod)).json()["challengeId"]
        answer = await ann.answer(challenge, code, pod)
        assert answer.status_code == 200, answer.text
    await shown(ann, pods, (True, 8))


async def test_enabling_asks_the_store(
    pods: Pods, restore: Callable[[], None], keys: RedisServer
) -> None:
    """At once, whatever a pod has in memory."""
    ann = await new_holder(pods[0])
    restore()
    await ann.enrol()
    await shown(ann, pods, (True, 10))
    restore()
    assert (await ann.enable()).status_code == 200


async def test_two_histories(pods: Pods, restore: Callable[[], None], keys: RedisServer) -> None:
    """As many changes as before, but others: no version is taken for that of another row."""
    ann = await (await new_holder(pods[0])).enrol()
    restore()
    for history in (1, 2, 3):
        for code in ann.recovery_codes[:history]:
            assert (await ann.answer(await ann.challenge(), code)).status_code == 200
        await shown(ann, pods, (True, 10 - history))
        restore()
        await shown(ann, pods, (True, 10))
        assert (await ann.answer(await ann.challenge(), ann.recovery_codes[9])).status_code == 200
        await shown(ann, pods, (True, 9))
        restore()


async def test_before_an_account_was_made(
    pods: Pods, restore: Callable[[], None], keys: RedisServer
) -> None:
    """It is not there any more: 401 on all pods, and its sessions end."""
    await new_holder(pods[0])
    restore()
    bob = await new_holder(pods[0])
    assert [(await pod.get("/auth/me", headers=bob.bearer)).status_code for pod in pods] == [
        200
    ] * 2
    restore()

    async def gone() -> bool:
        answers = [await pod.get("/auth/me", headers=bob.bearer) for pod in pods]
        return [answer.status_code for answer in answers] == [401, 401]

    await asyncio.gather(eventually(gone, BOUND))
    assert code_of(await bob.refresh()) == (401, "invalid_refresh_token")
    assert code_of(await bob.password()) == (401, "invalid_credentials")
