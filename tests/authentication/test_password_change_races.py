"""Changes of the password that are killed, fail, or race with logins and refreshes."""

import asyncio
import ipaddress
import itertools
import random
from collections.abc import Awaitable
from typing import Any

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD

from service.authentication.password import LoggedIn
from service.errors import (
    AccountChanged,
    InvalidAccessToken,
    InvalidCredentials,
    InvalidPassword,
    InvalidRefreshToken,
    NoPassword,
    ServiceError,
    StoreUnavailable,
)
from service.sessions.access_tokens import Caller
from service.sessions.origin import RequestOrigin
from service.sessions.token_pair import TokenPair
from tests.support.looking import ON_VALKEY
from tests.twofactor.pods import Killed, Pod, Pods, Somebody

pytestmark = ON_VALKEY

NEW = "a wholly different phrase"


def anywhere(dice: random.Random) -> RequestOrigin:
    """Where no limit has been reached by others."""
    return RequestOrigin(ipaddress.IPv4Address(dice.getrandbits(32)), "a browser", "request-2")


class Client:
    """A session, as its client knows it."""

    def __init__(self, pods: Pods, somebody: Somebody, tokens: TokenPair) -> None:
        self.somebody = somebody
        self.tokens = tokens
        self.caller: Caller = pods.all[0].services.access_tokens.verify(tokens.access_token)

    async def refresh(self, pod: Pod) -> bool:
        """Whether the session can go on."""
        try:
            self.tokens = await pod.services.sessions.refresh(self.tokens.refresh_token, CLIENT)
        except InvalidRefreshToken:
            return False
        return True

    async def shows(self, pod: Pod) -> bool:
        """Whether GET /auth/me answers."""
        try:
            await pod.services.identities.of(self.caller)
        except InvalidAccessToken:
            return False
        return True

    async def change(self, pod: Pod, current: str = PASSWORD, new: str = NEW) -> LoggedIn:
        return await pod.services.password_change.change(self.caller, current, new, CLIENT)


async def log_in(
    pods: Pods, pod: Pod, somebody: Somebody, password: str, origin: RequestOrigin = CLIENT
) -> Client | None:
    """Open a session; `None` if that is not the password."""
    try:
        opened = await pod.services.accounts.log_in(somebody.user.email, password, origin)
    except InvalidCredentials:
        return None
    assert isinstance(opened, LoggedIn)
    return Client(pods, somebody, opened.tokens)


async def client_of(pods: Pods) -> Client:
    somebody = await pods.sign_up()
    client = await log_in(pods, pods.all[0], somebody, PASSWORD)
    assert client is not None
    return client


async def is_new(pod: Pod, client: Client) -> bool:
    """Whether the row has another password than at sign-up."""
    row = await pod.services.password_change._users.credentials(client.somebody.id)
    assert row is not None
    return row.user.password_changed_at is not None


async def ended_by(call: Awaitable[Any], error: type[BaseException]) -> bool:
    try:
        await call
    except error:
        return True
    return False


@pytest.mark.parametrize(
    ("error", "watched", "new_user_store"),
    [
        (Killed, True, "postgresql"),
        (Killed, False, "sqlite"),
        (asyncio.CancelledError, True, "sqlite"),
        (asyncio.CancelledError, False, "postgresql"),
        (StoreUnavailable, False, "sqlite"),
    ],
    indirect=["new_user_store"],
)
async def test_ended_at_each_step(pods: Pods, error: type[BaseException], watched: bool) -> None:
    """Old password with its sessions, or new one without them: at no moment anything else, also
    while the old session refreshes at the other pod at each step; nor where nobody has asked
    before, and pods have the row in memory. And the person gets on from there."""
    here, there = pods
    outcomes = set()
    for point in itertools.count():
        ann = await client_of(pods)
        other = await log_in(pods, there, ann.somebody, PASSWORD)
        assert other is not None

        async def goes_on(ann: Client = ann, other: Client = other) -> None:
            was_new = await is_new(there, ann)
            went_on = await other.refresh(there)
            if was_new or not await is_new(there, ann):
                assert went_on == (not was_new)

        here.fuse.left, here.fuse.error = point, error
        here.fuse.meanwhile = goes_on if watched else None
        assert await other.shows(there)
        failed = await ended_by(ann.change(here), error)
        here.fuse.left = None
        new = await is_new(there, ann)
        outcomes.add(new)
        for client in (ann, other):
            assert await client.shows(there) == await client.shows(here) == (not new), point
            assert await client.refresh(there) == (not new), point
            assert await client.refresh(here) == (not new), point
        assert (await log_in(pods, there, ann.somebody, PASSWORD) is None) == new, point
        again = await log_in(pods, there, ann.somebody, NEW)
        assert (again is not None) == new, point
        if again is not None:  # and what the new password opens lives, and can change it again
            assert await again.refresh(here), point
            assert await again.change(here, NEW, PASSWORD), point
        if not failed:
            break
    assert point >= 12
    assert outcomes == {False, True}


async def test_changes_against_logins(pods: Pods) -> None:
    """Thirty times on each user store, three logins with the old password at two pods, at
    whatever moment: nobody is inside after the change, but for who logs in with the new one."""
    dice = random.Random(14)
    inside, refused = 0, 0
    for _ in range(30):
        ann = await client_of(pods)

        async def later(call: Awaitable[Any], longest: float) -> Any:
            await asyncio.sleep(dice.random() * longest)
            return await call

        news: list[Client | None] = []

        async def with_the_new_one(ann: Client = ann, news: list[Any] = news) -> None:
            for pod in itertools.islice(itertools.cycle(pods), 4):
                try:
                    news.append(await log_in(pods, pod, ann.somebody, NEW, anywhere(dice)))
                except AccountChanged:
                    continue
                await asyncio.sleep(dice.random() * 0.003)

        olds = [
            later(log_in(pods, pod, ann.somebody, PASSWORD, anywhere(dice)), 0.02)
            for pod in [*pods.all, pods.all[0]]
        ]
        changed, _, *opened = await asyncio.gather(
            later(ann.change(pods.all[dice.randrange(2)]), 0.005),
            with_the_new_one(),
            *olds,
            return_exceptions=True,
        )
        assert isinstance(changed, LoggedIn), changed
        for each in opened:
            assert each is None or isinstance(each, Client | AccountChanged), each
            inside, refused = inside + isinstance(each, Client), refused + (each is None)
            if isinstance(each, Client):
                assert not await each.shows(pods.all[0])
                assert not await each.refresh(pods.all[1])
        living = [Client(pods, ann.somebody, changed.tokens), *filter(None, news)]
        for client in living:
            assert await client.shows(pods.all[1])
            assert await client.refresh(pods.all[0])
        assert await pods.all[0].services.sessions.count(ann.somebody.id) == len(living)
    assert inside > 3, "some were opened before the change"
    assert refused > 3, "some came after it"


async def test_changes_against_changes(pods: Pods) -> None:
    """By two of the person's sessions at two pods: one wins, and one session lives."""
    for _ in range(15):
        ann = await client_of(pods)
        other = await log_in(pods, pods.all[1], ann.somebody, PASSWORD)
        assert other is not None
        outcomes = await asyncio.gather(
            ann.change(pods.all[0], new=NEW),
            other.change(pods.all[1], new=NEW + "!"),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, LoggedIn)]
        assert len(won) == 1, outcomes
        [lost] = [outcome for outcome in outcomes if outcome not in won]
        assert isinstance(lost, InvalidPassword | InvalidAccessToken), lost
        assert await pods.all[0].services.sessions.count(ann.somebody.id) == 1
        assert await Client(pods, ann.somebody, won[0].tokens).refresh(pods.all[1])


async def test_a_hash_that_is_renewed_meanwhile(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a login, to today's cost: the password is the same, so the change goes on."""
    here, _ = pods
    ann = await client_of(pods)
    changes = here.services.password_change._changes
    set_password, first = changes.set_password, True

    async def after_a_renewal(*arguments: Any, **named: Any) -> int | None:
        nonlocal first
        if first:
            first = False
            renewed = await here.services.accounts._passwords.hash(PASSWORD)
            pods.store.ask(
                "UPDATE users SET password_hash = $1 WHERE id = $2", renewed.value, ann.somebody.id
            )
        return await set_password(*arguments, **named)

    monkeypatch.setattr(changes, "set_password", after_a_renewal)
    assert isinstance(await ann.change(here), LoggedIn)
    assert not await ann.refresh(here)
    assert await log_in(pods, here, ann.somebody, NEW) is not None


async def test_a_password_that_is_changed_meanwhile(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, keys: RedisServer
) -> None:
    """By another session, which has ended this one by that; the account comes to rest."""
    here, there = pods
    ann = await client_of(pods)
    changes = here.services.password_change._changes
    set_password = changes.set_password

    async def after_another(*arguments: Any, **named: Any) -> int | None:
        monkeypatch.undo()
        other = await log_in(pods, there, ann.somebody, PASSWORD)
        assert other is not None
        await other.change(there, new=NEW + "!")
        return await set_password(*arguments, **named)

    monkeypatch.setattr(changes, "set_password", after_another)
    with pytest.raises(InvalidAccessToken):
        await ann.change(here)
    assert await log_in(pods, here, ann.somebody, NEW) is None
    again = await log_in(pods, here, ann.somebody, NEW + "!")
    assert again is not None
    session = await here.services.sessions.current(again.caller)
    assert session.user_version, "nothing is announced any more"


async def test_without_a_password(pods: Pods) -> None:
    """There is none to change, and none that logs in; every other call says so alike."""
    here, _ = pods
    ann = await client_of(pods)
    pods.store.ask("UPDATE users SET password_hash = '' WHERE id = $1", ann.somebody.id)
    for current in ("", PASSWORD):
        with pytest.raises(NoPassword):
            await ann.change(here, current=current)
        assert await log_in(pods, here, ann.somebody, current) is None
        with pytest.raises(InvalidPassword):
            await here.services.reauthentication.by_password(
                ann.caller, ann.tokens.refresh_token, current, CLIENT
            )
    assert await ann.refresh(here)


@pytest.mark.parametrize("change", ["enrol", "disable", "delete"])
async def test_the_account_changes_before_the_new_session(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The password is another by then; no session is opened that the account would not allow."""
    here, there = pods
    ann = await client_of(pods)
    opening = here.services.password_change._opening
    open_ = opening.open

    async def after_a_change(*arguments: Any, **named: Any) -> Any:
        if change == "enrol":
            await there.begin(ann.somebody)
            await there.verify(ann.somebody, pods.code(ann.somebody))
        elif change == "disable":
            pods.store.ask(
                "UPDATE users SET disabled_at = 1, version = version + 1,"
                " sessions_from = version + 1 WHERE id = $1",
                ann.somebody.id,
            )
            await there.services.password_change._cut_offs.announce(ann.somebody.id, CLIENT)
        else:
            deletion = there.services.own_account._deletion
            await deletion.delete(ann.somebody.id, CLIENT, by="test")
        return await open_(*arguments, **named)

    monkeypatch.setattr(opening, "open", after_a_change)
    with pytest.raises(InvalidAccessToken):
        await ann.change(here)
    assert await here.services.sessions.count(ann.somebody.id) == 0


async def test_the_user_store_is_away(pods: Pods) -> None:
    """Nothing changes; old sessions go on once it is back."""
    here, there = pods
    ann = await client_of(pods)
    with pods.store.out_of_reach(), pytest.raises(StoreUnavailable):
        await ann.change(here)
    assert await ann.shows(there)
    assert await ann.refresh(there)
    assert not await is_new(there, ann)
    with pytest.raises(ServiceError):
        await ann.change(here, current="wrong")
    assert isinstance(await ann.change(here), LoggedIn)
