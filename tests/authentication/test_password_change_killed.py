"""A process that is killed in the middle of a change of the password."""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, ServiceProcess, code_of, sign_up
from tools.testbed.waiting import wait_until

from service.redis.keys import bucket
from tests.authentication.test_password_change import NEW, change, log_in
from tests.support.looking import ON_VALKEY
from tests.support.user_stores import UserStore

pytestmark = ON_VALKEY


@pytest.fixture
def fragile(
    tmp_path: Path, redis_server: RedisServer, user_store: UserStore
) -> Iterator[tuple[RedisServer, ServiceProcess]]:
    """A server and a process that may be killed."""
    (tmp_path / "redis").mkdir()
    server = RedisServer(redis_server.binary, tmp_path / "redis").start()
    service = ServiceProcess(tmp_path, server.url, **user_store.settings).start()
    yield server, service
    service.stop()
    server.heal()
    server.stop()


@pytest.mark.parametrize("written", [False, True], ids=["before the row", "after the row"])
async def test_kill_minus_9(
    fragile: tuple[RedisServer, ServiceProcess],
    user_store: UserStore,
    tmp_path: Path,
    written: bool,
) -> None:
    """Before it has written the row: the old password with its sessions. After it, before Redis has
    heard of it: the new one without them."""
    server, service = fragile
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as http:
        ann = await sign_up(http)
        other = await ann.log_in()
        with ExitStack() as lock:
            lock.enter_context(user_store.held())
            writer = await _send_change(ann)
            wait_until(lambda: _is_announced(server, ann))
            if written:
                server.freeze()
                lock.close()
                wait_until(lambda: _is_written(user_store, ann))
            service.stop(signal.SIGKILL)
            if written:  # with what it was sent last still unread
                server.kill()
                server.start()
        writer.close()
    after = service.beside(tmp_path).start()
    try:
        async with httpx.AsyncClient(base_url=after.url, timeout=30) as http:
            people = [Person(http, ann.email, each.tokens) for each in (ann, other)]
            old, new = (PASSWORD, NEW) if not written else (NEW, PASSWORD)
            assert (await log_in(people[0], old)).status_code == 200
            assert code_of(await log_in(people[0], new)) == (401, "invalid_credentials")
            for person in people:
                assert (await person.me()).status_code == (401 if written else 200)
                refreshed = await person.refresh()
                assert refreshed.status_code == (401 if written else 200)
            again = people[0].holding((await log_in(people[0], old)).json())
            assert (await change(again, old, new)).status_code == 200
            assert (await again.me()).status_code == 401
    finally:
        assert after.stop() == 0


async def _send_change(ann: Person) -> asyncio.StreamWriter:
    """On a connection of its own, for an answer that will never come."""
    body = json.dumps({"currentPassword": PASSWORD, "newPassword": NEW}).encode()
    url = ann.client.base_url
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /auth/password/change HTTP/1.1\r\nHost: test\r\nAuthorization: %b\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (ann.bearer["Authorization"].encode(), len(body), body)
    )
    await writer.drain()
    return writer


def _is_announced(server: RedisServer, ann: Person) -> bool:
    """The next thing that it writes is the row."""
    with server.client() as client:
        noted = client.hget(bucket(ann.user_id).index + ann.user_id, "v")
    return bool(noted and noted.startswith(b"?"))


def _is_written(store: UserStore, ann: Person) -> bool:
    [(at,)] = store.ask("SELECT password_changed_at FROM users WHERE id = $1", ann.user_id)
    return at is not None
