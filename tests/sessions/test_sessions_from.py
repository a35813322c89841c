"""Sessions that a change of the account has ended, where nobody has said so to Redis yet: whoever
asks the user store finds out, by the version of the row that each session remembers."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import httpx
import pytest
from tools.testbed.parts import CLIENT, LIVES, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, code_of

from service.errors import InvalidRefreshToken, StoreUnavailable
from service.redis.keys import bucket
from service.sessions.owner import Owner
from service.sessions.record import Authentication
from tests.support.looking import session_keys
from tests.support.user_stores import UserStore

INVALID = (401, "invalid_refresh_token")
UNAUTHORIZED = (401, "unauthorized")
CHANGING = "?1 0 1700000000000"

CALLS: list[Callable[[Person], Awaitable[httpx.Response]]] = [
    Person.me,
    Person.sessions,
    Person.log_out_everywhere,
    lambda person: person.end(person.session_id),
    lambda person: person.client.post("/auth/2fa/enable", headers=person.bearer),
]
NAMES = ["me", "list", "all", "end", "enable"]


def change(store: UserStore, keys: RedisServer, person: Person, to: str, noted: str) -> None:
    """Change the row as a pod does that is killed before it ends the sessions, or soon after."""
    store.ask(f"UPDATE users SET version = 7, {to} WHERE id = $1", person.user_id)
    with keys.client() as client:
        client.hset(bucket(person.user_id).index + person.user_id, "v", noted)


@pytest.mark.parametrize(
    ("to", "noted"), [("sessions_from = 7", CHANGING), ("disabled_at = 1", "7")], ids=["old", "off"]
)
@pytest.mark.parametrize("call", CALLS, ids=NAMES)
async def test_any_call(
    person: Person,
    shared_store: UserStore,
    keys: RedisServer,
    call: Callable[[Person], Awaitable[httpx.Response]],
    to: str,
    noted: str,
) -> None:
    """401, and the next refresh, too; a session that is opened afterwards lives."""
    change(shared_store, keys, person, to, noted)
    assert code_of(await call(person)) == UNAUTHORIZED
    assert code_of(await person.refresh()) == INVALID
    assert not session_keys(keys)
    if "disabled" not in to:
        fresh = await person.log_in()
        assert (await fresh.me()).status_code == 200
        assert (await fresh.refresh()).status_code == 200
        assert code_of(await call(person)) == UNAUTHORIZED
        assert (await fresh.me()).status_code == 200


@pytest.mark.parametrize("noted", ["7", CHANGING])
async def test_a_session_of_the_new_row_beside_one_of_the_old(
    person: Person, shared_store: UserStore, keys: RedisServer, noted: str
) -> None:
    """The list shows, and refreshes leave, those that count; the others are over."""
    change(shared_store, keys, person, "sessions_from = 7", noted)
    fresh = await person.log_in()
    listed = (await fresh.sessions()).json()["sessions"]
    assert [session["id"] for session in listed] == [fresh.session_id]
    assert code_of(await person.refresh()) == INVALID
    assert (await fresh.refresh()).status_code == 200
    assert len(session_keys(keys)) == 1


class Store:
    """What the user store says, or that it is away."""

    def __init__(self, *answers: Owner) -> None:
        self.answers = list(answers)

    def __call__(self, user_id: bytes) -> "asyncio.Future[Owner]":
        future: asyncio.Future[Owner] = asyncio.get_running_loop().create_future()
        future.set_result(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        return future


USER = bytes(range(16))
INDEX = bucket(USER).index + USER
AWAY, UNCHANGED, CHANGED = Owner(), Owner(is_known=True), Owner(sessions_from=7, is_known=True)


@pytest.mark.one_server("what is decided in this process")
async def test_a_refresh_while_the_row_changes(parts: Parts, keys: RedisServer) -> None:
    """Only by what the user store says after Redis has said so; nothing while it is away."""
    store = Store(AWAY)
    sessions = Parts(parts.link, LIVES, 50, store).sessions
    pair = await sessions.open(USER, Authentication.PASSWORD, "user.loggedIn", CLIENT, 3)
    with keys.client() as client:
        client.hset(INDEX, "v", CHANGING)
        before = {name: client.dump(name) for name in client.scan_iter()}
        with pytest.raises(StoreUnavailable):
            await sessions.refresh(pair.refresh_token, CLIENT)
        assert {name: client.dump(name) for name in client.scan_iter()} == before
        store.answers = [AWAY, UNCHANGED]
        pair = await sessions.refresh(pair.refresh_token, CLIENT)
        store.answers = [UNCHANGED, CHANGED]
        with pytest.raises(InvalidRefreshToken):
            await sessions.refresh(pair.refresh_token, CLIENT)
    assert not session_keys(keys)


@pytest.mark.one_server("what is decided in this process")
async def test_a_refresh_while_the_store_is_away(parts: Parts, keys: RedisServer) -> None:
    """Sessions go on, as long as no change is announced."""
    sessions = Parts(parts.link, LIVES, 50, Store(AWAY)).sessions
    pair = await sessions.open(USER, Authentication.PASSWORD, "user.loggedIn", CLIENT, 3)
    assert await sessions.refresh(pair.refresh_token, CLIENT)


@pytest.mark.one_server("what is decided in this process")
async def test_reauthenticating(parts: Parts, keys: RedisServer) -> None:
    """The same session, whose `amr` is all that it has proved and whose `auth_time` is new; only by
    its own refresh token."""
    pair = await parts.open(USER)
    caller = parts.access_tokens.verify(pair.access_token)
    opened = await parts.sessions.current(caller)
    await asyncio.sleep(0.01)
    proved = Authentication.RECOVERY_CODE
    after = await parts.sessions.reauthenticate(caller, pair.refresh_token, proved, CLIENT)
    session = await parts.sessions.current(caller)
    assert after.session_id == pair.session_id
    assert session.authentication == Authentication.PASSWORD | proved
    assert session.authenticated_at > opened.authenticated_at == session.opened_at
    assert session.generation == 1
    again = await parts.sessions.reauthenticate(caller, pair.refresh_token, proved, CLIENT)
    assert again.refresh_token == after.refresh_token
    for other in ((await parts.open(USER)), (await parts.open(os.urandom(16)))):
        with pytest.raises(InvalidRefreshToken):
            await parts.sessions.reauthenticate(caller, other.refresh_token, proved, CLIENT)
        await parts.sessions.refresh(other.refresh_token, CLIENT)
