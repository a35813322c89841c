"""Changes of the address beside what ends or undoes them, at the moment before one is written."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD

from service.accounts.user_rows import User
from service.authentication.email_change import CHANGE_LIFE, EmailChange
from service.errors import (
    InvalidAccessToken,
    InvalidResetToken,
    InvalidVerificationToken,
    ServiceError,
)
from service.sessions.access_tokens import Caller
from service.settings import Secret
from service.tickets.tickets import Minted
from service.tickets.tokens import EMAIL_CHANGE, EMAIL_UNDO, PASSWORD_RESET, Purpose
from tests.support.looking import ON_VALKEY
from tests.support.user_stores import UserStore
from tests.twofactor.pods import Pod, Pods, Somebody, Watch, running

pytestmark = ON_VALKEY

NEW = "another good password"


@pytest.fixture
async def pods(keys: RedisServer, user_store: UserStore, tmp_path: Path) -> AsyncIterator[Pods]:
    """Two pods with mail, of which nothing is sent."""
    watch, mail = Watch(), Secret(f"file://{tmp_path}/mail")
    async with running(watch, keys.url, user_store, tmp_path, mail_url=mail) as pods:
        yield pods


class Ann:
    """Somebody who reads all their mails, at whatever address."""

    def __init__(self, pods: Pods, somebody: Somebody) -> None:
        self.id, self.pods, self.first = somebody.id, pods, somebody.user.email

    async def user(self) -> User:
        user = await changes_of(self.pods.all[1])._users.get(self.id, None)
        assert user is not None
        return user

    async def asks_for(self, address: str) -> str:
        """The token of a link for another address, asked for by the row as it is."""
        user = await self.user()
        bound = msgspec.msgpack.encode((address, user.email.lower(), secrets.token_bytes(12)))
        return await self._issue(EMAIL_CHANGE, user, bound)

    async def forgets(self) -> str:
        """The token of a link for another password, mailed to the address that counts now."""
        user = await self.user()
        return await self._issue(PASSWORD_RESET, user, b"to " + user.email.encode())

    async def _issue(self, purpose: Purpose, user: User, bound: bytes) -> str:
        tickets = changes_of(self.pods.all[0])._tickets
        issued = await tickets.issue(
            purpose, self.id, user.version, CHANGE_LIFE, "", CLIENT, bound=bound
        )
        return issued.token

    async def confirms(self, pod: Pod, token: str) -> str:
        """Confirm a change. The token that undoes it."""
        tickets = changes_of(pod)._tickets
        mint, undos = tickets.mint, list[str]()

        def noting(purpose: Purpose, *more: Any) -> Minted:
            minted = mint(purpose, *more)
            if purpose == EMAIL_UNDO:
                undos.append(minted.token.text)
            return minted

        tickets.mint = noting  # type: ignore[method-assign]
        try:
            await changes_of(pod).confirm(token, CLIENT)
        finally:
            tickets.mint = mint  # type: ignore[method-assign]
        return undos[-1]


def changes_of(pod: Pod) -> EmailChange:
    return pod.services.email_change


async def ann_of(pods: Pods) -> Ann:
    return Ann(pods, await pods.sign_up())


def first(
    monkeypatch: pytest.MonkeyPatch, store: Any, name: str, call: Callable[[], Awaitable[Any]]
) -> None:
    """Have another call run to its end right before the next time that something is written."""
    write = getattr(store, name)

    async def after_the_other(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(store, name, write)
        await call()
        return await write(*arguments, **named)

    monkeypatch.setattr(store, name, after_the_other)


async def test_a_reset_before_a_change_is_written(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reset has ended the link of the change, which so changes nothing."""
    here, there = pods
    ann = await ann_of(pods)
    token, reset = await ann.asks_for("thief@example.com"), await ann.forgets()
    resets = there.services.password_reset
    store = changes_of(here)._changes
    first(monkeypatch, store, "change", lambda: resets.reset(reset, NEW, CLIENT))
    with pytest.raises(InvalidVerificationToken):
        await changes_of(here).confirm(token, CLIENT)
    assert (await ann.user()).email == ann.first
    assert await there.services.accounts.log_in(ann.first, NEW, CLIENT)


async def test_a_change_before_a_reset_is_written(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link of the reset went to an address that is not the account's any more."""
    here, there = pods
    ann = await ann_of(pods)
    token, reset = await ann.asks_for("new@example.com"), await ann.forgets()
    resets = here.services.password_reset
    first(monkeypatch, resets._changes, "set_password", lambda: ann.confirms(there, token))
    with pytest.raises(InvalidResetToken):
        await resets.reset(reset, NEW, CLIENT)
    assert await there.services.accounts.log_in("new@example.com", PASSWORD, CLIENT)


async def test_an_end_of_sessions_before_a_password_is_changed(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was in by a session that has ended sets no password, though they know the old one."""
    here, there = pods
    somebody = await pods.sign_up()
    opened: Any = await there.services.accounts.log_in(somebody.user.email, PASSWORD, CLIENT)
    caller: Caller = here.services.access_tokens.verify(opened.tokens.access_token)
    change, elsewhere = here.services.password_change, there.services.password_change._changes
    now = opened.user.created_at
    first(monkeypatch, change._changes, "set_password", lambda: elsewhere.disable(somebody.id, now))
    with pytest.raises(InvalidAccessToken):
        await change.change(caller, PASSWORD, NEW, CLIENT)
    row = await change._users.credentials(somebody.id)
    assert row is not None
    assert row.user.password_changed_at is None


async def test_a_change_while_an_earlier_one_is_undone(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is void with its own undo: who moves on at that moment does not come back by it."""
    here, there = pods
    ann = await ann_of(pods)
    undo = await ann.confirms(here, await ann.asks_for("thief@example.com"))
    next_one, later = await ann.asks_for("other@example.com"), list[str]()

    async def move_on() -> None:
        later.append(await ann.confirms(there, next_one))

    first(monkeypatch, changes_of(here)._changes, "undo", move_on)
    await changes_of(here).undo(undo, CLIENT)
    assert (await ann.user()).email == ann.first
    with pytest.raises(InvalidVerificationToken):
        await changes_of(there).undo(later[0], CLIENT)
    assert (await ann.user()).email == ann.first


async def test_changes_and_undos_at_once(pods: Pods) -> None:
    """Six times, wherever they meet: after an undo nothing of the later change is left."""
    here, there = pods
    undone = 0
    for _ in range(6):
        ann = await ann_of(pods)
        undo = await ann.confirms(here, await ann.asks_for(f"{secrets.token_hex(8)}@example.com"))
        next_one = await ann.asks_for(f"{secrets.token_hex(8)}@example.com")
        outcome, later = await asyncio.gather(
            changes_of(here).undo(undo, CLIENT),
            ann.confirms(there, next_one),
            return_exceptions=True,
        )
        if isinstance(outcome, User):
            undone += 1
            assert (await ann.user()).email == ann.first
            if isinstance(later, str):
                with pytest.raises(InvalidVerificationToken):
                    await changes_of(there).undo(later, CLIENT)
        else:
            assert isinstance(outcome, ServiceError), outcome
        assert isinstance(later, str | ServiceError), later
    assert undone > 2
