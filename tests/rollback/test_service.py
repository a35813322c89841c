"""The service on a server of its own that is started again with older data than it had."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from tools.testbed import access
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.service_process import Person, ServiceProcess, sign_up
from tools.testbed.waiting import eventually, wait_until

from service.redis.keys import bucket as keys_of, bucket_of
from tests.redis.test_rights import started


@pytest.fixture(params=sorted(available()))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A server with files of its own."""
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(available()[request.param], directory)
    try:
        yield server.start()
    finally:
        server.stop()


@contextmanager
def service(server: RedisServer, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service that minds."""
    directory = tmp_path / "pod"
    directory.mkdir()
    pod = ServiceProcess(directory, server.url_of(SERVICE), SERVICE_REDIS_ROLLBACK="replay")
    try:
        yield pod.start()
        assert pod.stop() == 0
    finally:
        pod.kill()


@pytest.fixture
def pod(server: RedisServer, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service that minds."""
    with service(server, tmp_path) as pod:
        yield pod


def journaled(tmp_path: Path) -> Callable[[], bool]:
    """Whether the journal has an entry."""

    def look() -> bool:
        with closing(sqlite3.connect(tmp_path / "pod" / "var" / "service.db")) as database:
            return bool(database.execute("SELECT count(*) FROM journal").fetchone()[0])

    return look


async def test_started_on_an_old_file(
    server: RedisServer, pod: ServiceProcess, tmp_path: Path
) -> None:
    """Whoever had logged out stays out, and nobody else has to log in."""
    async with httpx.AsyncClient(base_url=pod.url, timeout=30) as client:
        leaver, stayer = await sign_up(client), await sign_up(client)
        files, old = server.directory / "appendonlydir", tmp_path / "old"
        server.stop()
        shutil.copytree(files, old)
        server.start()
        await _answers(leaver, 200)
        assert (await leaver.log_out()).status_code == 204
        wait_until(journaled(tmp_path))

        server.stop()
        shutil.rmtree(files)
        shutil.copytree(old, files)
        server.start()
        assert set(await _answers(leaver, 401)) <= {401, 503}
        assert set(await _answers(stayer, 200)) <= {200, 503}
        assert (await leaver.refresh()).status_code == 401
        assert (await stayer.refresh()).status_code == 200

        async def ready() -> bool:
            return bool((await client.get("/health/ready")).json()["redis"]["ok"])

        await eventually(ready)
        wait_until(lambda: "redis.replayed" in pod.output())


@pytest.mark.skipif("redis" not in available(), reason="Redis 7.0 is not installed")
async def test_rights_by_which_a_restart_loses_what_scripts_did(tmp_path: Path) -> None:
    """`user default off`, and our user may not ask for it: found out by what Redis has lost."""
    mine = access.lines()[SERVICE].replace(" +acl|dryrun", "")
    directory = tmp_path / "redis"
    directory.mkdir()
    with (
        started("redis", directory, "user default off", mine) as server,
        service(server, tmp_path) as pod,
    ):
        async with httpx.AsyncClient(base_url=pod.url, timeout=30) as client:
            leaver, stayer = await sign_up(client), await sign_up(client)
            with server.client() as redis:
                redis.execute_command("BGREWRITEAOF")
                wait_until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"])
            assert (await leaver.log_out()).status_code == 204
            wait_until(journaled(tmp_path))
            for _ in range(2):  # what was done again is lost again
                server.kill()
                server.start()
                assert set(await _answers(leaver, 401)) <= {401, 503}
                assert set(await _answers(stayer, 200)) <= {200, 503}
            wait_until(lambda: replays(pod, leaver) == 2)


def replays(pod: ServiceProcess, leaver: Person) -> int:
    """How often it has said that somebody's bucket was done again."""
    bucket = bucket_of(keys_of(leaver.user_id).events)
    lines = [line for line in pod.output().splitlines() if '"redis.replayed"' in line]
    return sum(f'"bucket":{bucket},' in line for line in lines)


async def _answers(person: Person, status: int) -> list[int]:
    """Ask until the answer is this; and which there were."""
    seen: list[int] = []

    async def ask() -> bool:
        seen.append((await person.me()).status_code)
        return seen[-1] == status

    await eventually(ask)
    return seen
