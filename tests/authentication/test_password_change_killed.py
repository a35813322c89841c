"""A process that is killed in the middle of a change of the password."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, code_of, sign_up

from service.redis.keys import bucket
from tests.authentication.test_password_change import NEW, change, log_in
from tests.support.killing import Fragile, fragile_service, kill_around_the_row, post_unanswered
from tests.support.looking import ON_VALKEY
from tests.support.user_stores import UserStore

pytestmark = ON_VALKEY


@pytest.fixture
def fragile(tmp_path: Path, redis_server: RedisServer, user_store: UserStore) -> Iterator[Fragile]:
    with fragile_service(tmp_path, redis_server.binary, user_store) as both:
        yield both


@pytest.mark.parametrize("written", [False, True], ids=["before the row", "after the row"])
async def test_kill_minus_9(
    fragile: Fragile,
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
        await kill_around_the_row(
            fragile,
            user_store,
            lambda: post_unanswered(
                http, "/auth/password/change", ann.bearer, currentPassword=PASSWORD, newPassword=NEW
            ),
            lambda: _is_announced(server, ann),
            lambda: _is_written(user_store, ann),
            written=written,
        )
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


def _is_announced(server: RedisServer, ann: Person) -> bool:
    """The next thing that it writes is the row."""
    with server.client() as client:
        noted = client.hget(bucket(ann.user_id).index + ann.user_id, "v")
    return bool(noted and noted.startswith(b"?"))


def _is_written(store: UserStore, ann: Person) -> bool:
    [(at,)] = store.ask("SELECT password_changed_at FROM users WHERE id = $1", ann.user_id)
    return at is not None
