"""What operators change of accounts takes effect on all pods, and is one event each."""

from pathlib import Path

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.accounts.user_rows import User
from service.clock import system_clock
from service.composition.operators import create_operations
from service.errors import (
    AccountDisabled,
    ChallengeNotFound,
    InvalidAccessToken,
    InvalidCredentials,
    InvalidRefreshToken,
    RevocationUnconfirmed,
    TooManyAttempts,
    UserNotFound,
)
from service.keyring.keys import KeysInUse
from service.keyring.kms.local import LocalKeyFile
from service.keyring.store import KeyStore
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.settings import Secret, Settings
from service.twofactor.challenges import Issued
from tests.operators.conftest import REQUEST, Desk
from tests.support.looking import events
from tests.support.user_stores import UserStore
from tests.twofactor.pods import Pods, Somebody

NOBODY = bytes(range(16))


def told(server: RedisServer, user_id: bytes) -> list[dict[str, str]]:
    """The events of operators about a user, without what all of them have in common."""
    rows = [row for row in events(server, user_id) if row.pop("by", "") == "cli"]
    for row in rows:
        assert row.pop("id")
        common = row.pop("user"), row.pop("ip"), row.pop("request"), row.pop("reason")
        assert common == (user_id.hex(), "", "request-2", "a call from the person")
    return rows


async def user_of(desk: Desk, somebody: Somebody) -> User:
    return await desk.does.lookup.find(somebody.id.hex())


async def nobody_is_in(pods: Pods, somebody: Somebody, *refresh_tokens: str) -> None:
    """At no pod anybody goes on with a session from before."""
    for pod in pods:
        with pytest.raises(InvalidAccessToken):
            await pod.shows(somebody)
        for token in refresh_tokens:
            with pytest.raises(InvalidRefreshToken):
                await pod.services.sessions.refresh(token, CLIENT)


async def test_disable_and_enable(pods: Pods, desk: Desk, keys: RedisServer) -> None:
    """All sessions end, and the right password opens none until it is enabled. Twice is as once."""
    ann, bob = await pods.sign_up(), await pods.sign_up()
    more = [(await pod.password(ann)).tokens.refresh_token for pod in pods]
    for changed in (True, False):
        assert await desk.does.accounts.disable(await user_of(desk, ann), REQUEST) is changed
        await nobody_is_in(pods, ann, *more)
        for pod in pods:
            with pytest.raises(AccountDisabled):
                await pod.password(ann)
            await pod.shows(bob)
    assert told(keys, ann.id) == [{"type": "user.disabled", "count": "3"}]
    for changed in (True, False):
        assert await desk.does.accounts.enable(await user_of(desk, ann), REQUEST) is changed
        await nobody_is_in(pods, ann, *more)
        for pod in pods:
            opened = await pod.password(ann)
            await pod.services.sessions.refresh(opened.tokens.refresh_token, CLIENT)
    assert told(keys, ann.id)[1:] == [{"type": "user.enabled"}]


async def test_reset_second_factor(pods: Pods, desk: Desk, keys: RedisServer) -> None:
    """Factor, recovery codes, sessions and open challenges end; the password alone opens one."""
    _, there = pods
    ann = await pods.enrolled()
    challenge = await there.challenge(ann)
    for changed in (True, False):
        user = await user_of(desk, ann)
        assert await desk.does.accounts.reset_second_factor(user, REQUEST) is changed
        assert pods.truth(ann) == (False, 0)
        await nobody_is_in(pods, ann)
    assert told(keys, ann.id) == [{"type": "twoFA.disabled", "count": "1"}]
    with pytest.raises(ChallengeNotFound):
        await there.answer(challenge, pods.code(ann))
    for pod in pods:
        assert (await pod.password(ann)).user.two_fa_enabled is False


async def test_a_pending_enrolment_goes_with_the_second_factor(
    pods: Pods, desk: Desk, keys: RedisServer
) -> None:
    """Nobody who had begun one goes on with it, where no second factor is on yet as well."""
    ann = await pods.enrolled()
    pending = bucket(ann.id).pending + ann.id
    with keys.client() as client:
        for changed in (True, False):
            client.set(pending, b"of another version", px=60_000)
            user = await user_of(desk, ann)
            assert await desk.does.accounts.reset_second_factor(user, REQUEST) is changed
            assert not client.exists(pending)


async def test_unlock(pods: Pods, desk: Desk, keys: RedisServer) -> None:
    """Limits that were reached are shown, and forgiven; where none was, nothing is told."""
    here, there = pods
    ann = await pods.sign_up()
    assert not await desk.does.accounts.unlock(ann.user, desk.does.limits, REQUEST)
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            await here.services.accounts.log_in(ann.user.email, "not the password", CLIENT)
    with pytest.raises(TooManyAttempts):
        await there.password(ann)
    shown = await desk.does.lookup.details(ann.user, desk.does.limits)
    assert shown.limits
    assert all(0 < limit.retry_after <= 3600 for limit in shown.limits)
    for changed in (True, False):
        assert await desk.does.accounts.unlock(ann.user, desk.does.limits, REQUEST) is changed
        assert (await there.password(ann)).user.id == ann.id
    assert not (await desk.does.lookup.details(ann.user, desk.does.limits)).limits
    assert told(keys, ann.id) == [{"type": "user.unlocked"}]


async def test_delete(pods: Pods, desk: Desk, keys: RedisServer) -> None:
    """Nothing is left of the account in either store but its events; the address is free again."""
    here, _ = pods
    ann, bob = await pods.enrolled(), await pods.enrolled()
    await here.begin(await pods.sign_up())
    await desk.does.reset_links.issue(await user_of(desk, ann), CLIENT)
    names = bucket(ann.id)
    with keys.client() as client:
        client.set(names.pending + ann.id, b"of another version", px=60_000)
        await desk.does.accounts.delete(ann.id, REQUEST)
        left = [*client.scan_iter(match="session:*" + names.tag.decode() + "*")]
        assert not client.exists(names.pending + ann.id, names.ticket + b"reset:" + ann.id)
        assert not [name for name in client.hkeys(names.index + ann.id) if len(name) == 12]
    assert len(left) <= 1  # bob's, if he is in the same bucket
    await nobody_is_in(pods, ann)
    for pod in pods:
        with pytest.raises(InvalidCredentials):
            await pod.password(ann)
        await pod.shows(bob)
    [(rows, codes)] = pods.store.ask(
        "SELECT (SELECT count(*) FROM users WHERE id = $1),"
        " (SELECT count(*) FROM recovery_codes WHERE user_id = $1)",
        ann.id,
    )
    assert (rows, codes) == (0, 0)
    assert told(keys, ann.id) == [{"type": "user.deleted", "count": "1"}]
    for _ in range(2):  # nor does asking for it leave anything that would be deleted
        with pytest.raises(UserNotFound):
            await desk.does.accounts.delete(ann.id, REQUEST)
    again = await here.services.accounts.sign_up(ann.user.email, "another password", CLIENT)
    assert again.user.id != ann.id


async def test_nobody(desk: Desk, keys: RedisServer) -> None:
    """Of whoever is not there nothing is changed, and nothing is left in Redis."""
    for named in (NOBODY.hex(), "nobody@example.com", "", "@", "x" * 32, "0" * 31, " " * 32):
        with pytest.raises(UserNotFound):
            await desk.does.lookup.find(named)
    with pytest.raises(UserNotFound):
        await desk.does.accounts.delete(NOBODY, REQUEST)
    with keys.client() as client:
        assert client.dbsize() == 0


async def test_deleted_meanwhile(pods: Pods, desk: Desk) -> None:
    """An account that was read and then deleted is one that is not there."""
    ann = await pods.enrolled()
    user = await user_of(desk, ann)
    await desk.does.accounts.delete(ann.id, REQUEST)
    for change in (
        desk.does.accounts.disable, desk.does.accounts.enable,
        desk.does.accounts.reset_second_factor,
    ):  # fmt: skip
        with pytest.raises(UserNotFound):
            await change(user, REQUEST)


@pytest.mark.parametrize("spell", [str, str.upper, lambda text: f"  {text} "])
async def test_finding(pods: Pods, desk: Desk, spell) -> None:  # type: ignore[no-untyped-def]
    """By the address however it is spelt, and by the id."""
    ann = await pods.sign_up()
    assert (await desk.does.lookup.find(spell(ann.user.email))).id == ann.id
    assert (await desk.does.lookup.find(ann.id.hex().upper())).id == ann.id


async def test_a_challenge_is_no_session(pods: Pods, desk: Desk) -> None:
    """A login that waits for its code ends with the account: disabled, and enabled again."""
    here, there = pods
    ann = await pods.enrolled()
    issued = await here.password(ann)
    assert isinstance(issued, Issued)
    await desk.does.accounts.disable(await user_of(desk, ann), REQUEST)
    await desk.does.accounts.enable(await user_of(desk, ann), REQUEST)
    with pytest.raises(ChallengeNotFound):
        await there.answer(issued.id, pods.code(ann))


async def test_replicas_are_waited_for_again(
    pods: Pods, desk: Desk, keys: RedisServer, user_store: UserStore, tmp_path: Path
) -> None:
    """Where too few have confirmed an end, no repetition says that it is done, until they have."""
    ann, bob = await pods.enrolled(), await pods.enrolled()
    settings = Settings(env="test", database_url=Secret(user_store.url))
    short = RedisClient(keys.url, min_replicas=1)
    engine = user_store.open()
    opened = await KeyStore(engine).load(LocalKeyFile.at(tmp_path, None), system_clock)
    does = create_operations(settings, short, engine, KeysInUse(opened))
    changes = (
        does.accounts.disable,
        does.accounts.reset_second_factor,
        lambda user, request: does.sessions.end_all(user.id, request),
        lambda user, request: does.sessions.end(user.id, bytes(12), request),
    )
    for change in changes:  # before anything else is changed
        with pytest.raises(RevocationUnconfirmed):
            await change(await user_of(desk, bob), REQUEST)
    assert pods.truth(bob) == (True, 10)
    await desk.does.accounts.reset_second_factor(await user_of(desk, ann), REQUEST)
    await desk.does.accounts.disable(await user_of(desk, ann), REQUEST)
    for change in changes:  # and of what is done already
        with pytest.raises(RevocationUnconfirmed):
            await change(await user_of(desk, ann), REQUEST)
    await nobody_is_in(pods, ann)
    await short.aclose()
    await engine.dispose()
