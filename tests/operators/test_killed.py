"""Commands that are killed at each step: nothing lies meanwhile, and a repetition finishes it."""

import itertools
from collections.abc import Awaitable, Callable

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD

from service.authentication.password import LoggedIn
from service.errors import (
    AccountDisabled,
    InvalidAccessToken,
    InvalidCredentials,
    InvalidResetToken,
    UserNotFound,
)
from tests.operators.conftest import REQUEST, Desk
from tests.support.looking import ON_VALKEY, events
from tests.twofactor.pods import Pods, Somebody, finished

pytestmark = ON_VALKEY


async def disable(desk: Desk, somebody: Somebody) -> None:
    await desk.does.accounts.disable(await desk.does.lookup.find(somebody.id.hex()), REQUEST)


async def reset_second_factor(desk: Desk, somebody: Somebody) -> None:
    user = await desk.does.lookup.find(somebody.id.hex())
    await desk.does.accounts.reset_second_factor(user, REQUEST)


async def delete(desk: Desk, somebody: Somebody) -> None:
    await desk.does.accounts.delete(somebody.id, REQUEST)


async def lives(pods: Pods, somebody: Somebody) -> list[bool]:
    """Whether the session of before goes on, at each pod."""
    living = []
    for pod in pods:
        try:
            await pod.shows(somebody)
        except InvalidAccessToken:
            living.append(False)
        else:
            living.append(True)
    return living


Change = Callable[[Desk, Somebody], Awaitable[None]]

CHANGES: list[tuple[Change, str, str]] = [
    (disable, "user.disabled", "SELECT disabled_at IS NOT NULL FROM users WHERE id = $1"),
    (reset_second_factor, "twoFA.disabled", "SELECT NOT two_fa_enabled FROM users WHERE id = $1"),
    (delete, "user.deleted", "SELECT count(*) = 0 FROM users WHERE id = $1"),
]


@pytest.mark.parametrize(
    ("change", "event", "question"), CHANGES, ids=lambda value: str(value)[:20]
)
async def test_changes(
    pods: Pods, desk: Desk, keys: RedisServer, change: Change, event: str, question: str
) -> None:
    """Either it is as before and the session lives, or it is changed and nobody is inside."""
    outcomes = set()
    for point in itertools.count():
        ann = await pods.enrolled()
        desk.fuse.left = point
        done = await finished(change(desk, ann))
        desk.fuse.left = None
        changed = bool(pods.store.ask(question, ann.id)[0][0])
        outcomes.add(changed)
        assert await lives(pods, ann) == [not changed] * 2, point
        assert not done or changed
        try:
            await change(desk, ann)
        except UserNotFound:
            assert change is delete
        assert bool(pods.store.ask(question, ann.id)[0][0])
        assert await lives(pods, ann) == [False, False], point
        told = [row["type"] for row in events(keys, ann.id) if row.get("by") == "cli"]
        assert told == [event], point
        if done:
            break
    assert point >= 6
    assert outcomes == {True, False}


async def test_disabled_half_way_and_enabled(pods: Pods, desk: Desk) -> None:
    """What the disabling was to end has ended by the row, though nobody has ended it in Redis."""
    for point in itertools.count():
        ann = await pods.sign_up()
        desk.fuse.left = point
        done = await finished(disable(desk, ann))
        desk.fuse.left = None
        user = await desk.does.lookup.find(ann.id.hex())
        await desk.does.accounts.enable(user, REQUEST)
        assert await lives(pods, ann) == [user.disabled_at is None] * 2, point
        if done:
            break
    assert point >= 6


async def test_a_reset(pods: Pods, desk: Desk) -> None:
    """The old password with its sessions, or the new one without; the link works no second time."""
    here, there = pods
    outcomes = set()
    new = "another good password"
    for point in itertools.count():
        ann = await pods.sign_up()
        token = (await desk.does.reset_links.issue(ann.user, CLIENT)).token
        here.fuse.left = point
        done = await finished(here.services.password_reset.reset(token, new, CLIENT))
        here.fuse.left = None
        good = []
        for password in (PASSWORD, new):
            try:
                opened = await there.services.accounts.log_in(ann.user.email, password, CLIENT)
            except InvalidCredentials:
                continue
            assert isinstance(opened, LoggedIn)
            good.append(password)
        assert len(good) == 1, point
        assert await lives(pods, ann) == [good == [PASSWORD]] * 2, point
        outcomes.add(good[0])
        if good == [new]:
            with pytest.raises(InvalidResetToken):
                await there.services.password_reset.reset(token, "a third good password", CLIENT)
        if done:
            break
    assert point >= 8
    assert outcomes == {PASSWORD, new}


async def test_enable(pods: Pods, desk: Desk, keys: RedisServer) -> None:
    """Logins are refused until it is written, and never when it was; told once."""
    for point in itertools.count():
        ann = await pods.sign_up()
        await disable(desk, ann)
        user = await desk.does.lookup.find(ann.id.hex())
        desk.fuse.left = point
        done = await finished(desk.does.accounts.enable(user, REQUEST))
        desk.fuse.left = None
        enabled = bool(
            pods.store.ask("SELECT disabled_at IS NULL FROM users WHERE id = $1", ann.id)[0][0]
        )
        for pod in pods:
            try:
                await pod.password(ann)
                assert enabled, point
            except AccountDisabled:
                assert not enabled, point
        await desk.does.accounts.enable(user, REQUEST)
        told = [row["type"] for row in events(keys, ann.id) if row.get("by") == "cli"]
        assert told == ["user.disabled", "user.enabled"], point
        if done:
            break
    assert point >= 6
