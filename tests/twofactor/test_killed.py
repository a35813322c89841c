"""Killed between user row and Redis, at each point in turn: the retry completes, no flag lies."""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import code_of

from service.errors import NotEnabled
from service.redis.keys import bucket
from tests.support.killing import Fragile, fragile_service, kill_around_the_row, post_unanswered
from tests.support.looking import ON_VALKEY, events
from tests.support.two_factor import Holder, new_holder
from tests.support.user_stores import UserStore
from tests.twofactor.pods import Pod, Pods, Somebody, codes_or_on, finished

pytestmark = pytest.mark.one_server("a crash between Redis and the user store is the same on any")


def told(server: RedisServer, somebody: Somebody) -> list[str]:
    return [row["type"] for row in events(server, somebody.id) if row["type"].startswith("twoFA")]


@ON_VALKEY
async def test_verify(pods: Pods, keys: RedisServer) -> None:
    """Wherever it ends, all pods say what the row says, and the same call gives the same codes."""
    here, there = pods
    outcomes = set()
    for point in itertools.count():
        ann = await pods.sign_up()
        await here.begin(ann)
        code = pods.code(ann)
        minted = await here.services.enrolments._pending.find(
            ann.id, bytes.fromhex(ann.temp_secret_id)
        )
        here.fuse.left, here.fuse.meanwhile = point, partial(there.shows, ann)
        done = await finished(here.verify(ann, code))
        here.fuse.left = None
        outcomes.add(pods.truth(ann))
        assert await pods.agree(ann), point
        codes = await codes_or_on(there.verify(ann, code))
        if codes is None:
            with keys.client() as client:
                assert not client.exists(bucket(ann.id).pending + ann.id), point
        else:
            assert [c.replace("-", "") for c in codes] == _spelt(minted.recovery_codes), point
        assert pods.truth(ann) == (True, 10)
        assert await pods.agree(ann), point
        assert told(keys, ann) == ["twoFA.enrollmentStarted", "twoFA.enabled"], point
        pods.watch.advance()
        last = codes[0] if codes else pods.code(ann)
        assert (await there.answer(await there.challenge(ann), last)).user.two_fa_enabled
        if done:
            break
    assert point >= 12
    assert outcomes == {(False, 0), (True, 10)}


def _spelt(raw: tuple[bytes, ...]) -> list[str]:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    numbers = [int.from_bytes(code) for code in raw]
    return ["".join(alphabet[n >> 5 * i & 31] for i in range(15, -1, -1)) for n in numbers]


async def recovery_login(pod: Pod, somebody: Somebody, code: str) -> None:
    await pod.answer(await pod.challenge(somebody), somebody.recovery_codes[0])


async def recovery_disable(pod: Pod, somebody: Somebody, code: str) -> None:
    await pod.disable(somebody, somebody.recovery_codes[0])


@pytest.mark.parametrize(
    ("change", "rows", "new_user_store"),
    [
        (Pod.disable, {(True, 10), (False, 0)}, "sqlite"),
        (Pod.renew, {(True, 10)}, "sqlite"),
        (recovery_login, {(True, 10), (True, 9)}, "sqlite"),
        (recovery_disable, {(True, 10), (True, 9), (False, 0)}, "postgresql"),
    ],
    indirect=["new_user_store"],
)
@ON_VALKEY
async def test_later_changes(
    pods: Pods,
    change: Callable[[Pod, Somebody, str], Awaitable[object]],
    rows: set[tuple[bool, int]],
) -> None:
    """Disabling, renewing, a login that burns a recovery code: no pod shows an old row after it,
    and with the next code the person gets where they wanted."""
    here, there = pods
    outcomes = set()
    for point in itertools.count():
        ann = await pods.enrolled()
        here.fuse.left, here.fuse.meanwhile = point, partial(there.shows, ann)
        done = await finished(change(here, ann, pods.code(ann)))
        here.fuse.left = None
        outcomes.add(pods.truth(ann))
        assert await pods.agree(ann), point
        pods.watch.advance()
        try:
            await there.disable(ann, pods.code(ann))
        except NotEnabled:
            assert pods.truth(ann) == (False, 0)
        assert pods.truth(ann) == (False, 0)
        assert await pods.agree(ann), point
        if done:
            break
    assert point >= 8
    assert outcomes == rows


@pytest.fixture
def fragile(tmp_path: Path, redis_server: RedisServer, user_store: UserStore) -> Iterator[Fragile]:
    with fragile_service(tmp_path, redis_server.binary, user_store) as both:
        yield both


@ON_VALKEY
@pytest.mark.parametrize("written", [False, True], ids=["before the row", "after the row"])
async def test_kill_minus_9(
    fragile: Fragile,
    user_store: UserStore,
    tmp_path: Path,
    written: bool,
) -> None:
    """A process of its own, killed in the middle of a verify just before or after it has written
    the row: the next one says what the row says, and the same call completes."""
    server, service = fragile
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as http:
        ann = await new_holder(http)
        await ann.begin()
        code = ann.phone.code()
        await kill_around_the_row(
            fragile,
            user_store,
            lambda: post_unanswered(
                http, "/auth/2fa/verify", ann.bearer, tempSecretId=ann.temp_secret_id, code=code
            ),
            lambda: _confirmed(server, ann),
            lambda: _row(user_store, ann),
            written=written,
        )
    after = service.beside(tmp_path).start()
    try:
        async with httpx.AsyncClient(base_url=after.url, timeout=30) as http:
            ann.client = http
            assert await ann.two_fa() == ((True, 10) if written else (False, 0))
            assert (await ann.password()).status_code == (202 if written else 200)
            again = await ann.verify(code)
            assert again.status_code == 200, again.text
            codes = again.json()["recoveryCodes"]
            assert await ann.two_fa() == (True, 10)
            assert code_of(await ann.verify(code)) == (400, "already_enabled")
            answer = await ann.answer(await ann.challenge(), codes[9])
            assert answer.status_code == 200
            assert [row["type"] for row in events(server, ann.user_id)].count("twoFA.enabled") == 1
    finally:
        assert after.stop() == 0


def _confirmed(server: RedisServer, ann: Holder) -> bool:
    """The code was right, and no try counts any more: the next thing that it writes is the row."""
    with server.client() as client:
        pending = client.get(bucket(ann.user_id).pending + ann.user_id)
        counted = list(client.scan_iter(bucket(ann.user_id).attempts + b"codes*"))
    return any(pending[17:25]) and not counted


def _row(store: UserStore, ann: Holder) -> bool:
    [(enabled,)] = store.ask("SELECT two_fa_enabled FROM users WHERE id = $1", ann.user_id)
    return bool(enabled)
