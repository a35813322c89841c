"""Users who are not in the user store any more: their sessions end, by whatever they ask first."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, code_of
from tools.testbed.waiting import eventually

from service.accounts.row_lookup import STATEMENT_EACH
from service.accounts.users import AccountState, Users
from service.authentication.owners import OwnerLookup
from service.errors import StoreUnavailable
from service.redis.keys import bucket
from service.sessions.owner import Owner
from tests.support.looking import events, session_keys, watching
from tests.support.run_queue import Stopwatch
from tests.support.user_stores import UserStore

INVALID = (401, "invalid_refresh_token")
UNAUTHORIZED = (401, "unauthorized")


def delete(store: UserStore, person: Person) -> None:
    store.ask("DELETE FROM users WHERE id = $1", person.user_id)


def ended(server: RedisServer, person: Person) -> int:
    """How many of the person's sessions the events tell of as over; the feed of as many times."""
    told = [row for row in events(server, person.user_id) if row.get("reason") == "userGone"]
    with server.client() as client:
        heard = client.xlen(bucket(person.user_id).revoked)
    assert len(told) == heard
    assert not session_keys(server)
    return sum(int(row["count"]) for row in told)


async def test_a_refresh(person: Person, shared_store: UserStore, keys: RedisServer) -> None:
    """At once, for all sessions, with one feed entry and one event; it stays like that."""
    other = await person.log_in()
    delete(shared_store, person)
    assert code_of(await person.refresh()) == INVALID
    assert ended(keys, person) == 2
    for token in (person, other):
        assert code_of(await token.refresh()) == INVALID
        assert code_of(await token.me()) == UNAUTHORIZED
    assert ended(keys, person) == 2


async def test_a_refresh_within_the_grace(
    person: Person, shared_store: UserStore, keys: RedisServer
) -> None:
    """A handoff is a refresh."""
    assert (await person.refresh()).status_code == 200
    delete(shared_store, person)
    assert code_of(await person.refresh()) == INVALID
    assert ended(keys, person) == 1


@pytest.mark.parametrize(
    "call",
    [
        Person.sessions,
        Person.log_out_everywhere,
        lambda person: person.end(person.session_id),
        lambda person: person.end("0" * 24),
        lambda person: person.client.post("/auth/2fa/enable", headers=person.bearer),
    ],
    ids=["list", "all", "own", "unknown", "enable"],
)
async def test_other_calls(
    person: Person,
    shared_store: UserStore,
    keys: RedisServer,
    call: Callable[[Person], Awaitable[httpx.Response]],
) -> None:
    """401; with it, or at the next refresh, the sessions are over."""
    delete(shared_store, person)
    assert code_of(await call(person)) == UNAUTHORIZED
    assert code_of(await person.refresh()) == INVALID
    assert ended(keys, person) == 1


async def test_logout_does_not_ask(
    person: Person, shared_store: UserStore, keys: RedisServer
) -> None:
    """It ends the session, whosever it is."""
    delete(shared_store, person)
    assert (await person.log_out()).status_code == 204


@pytest.mark.one_server("MONITOR watches one server")
async def test_a_refresh_is_one_command_all_the_same(person: Person, keys: RedisServer) -> None:
    """What is asked of the user store costs Redis nothing."""
    person = person.holding((await person.refresh()).json())
    with watching(keys) as seen:
        assert (await person.refresh()).status_code == 200
    assert seen.from_clients == ["EVALSHA"]


class Store(Users):
    """Tells how it was asked; answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.is_asked, self.go = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None

    async def states(self, user_ids: object) -> dict[bytes, AccountState]:
        assert isinstance(user_ids, list)
        self.asked.append(len(user_ids))
        self.is_asked.set()
        await self.go.wait()
        if self.error:
            raise self.error
        return {
            user_id: AccountState(user_id == b"2", user_id == b"1", int(user_id))
            for user_id in user_ids
            if user_id != b"0"
        }


async def test_many_are_asked_for_at_once() -> None:
    """Those that come while a statement is under way share the next; each gets its own answer."""
    store = Store()
    lookup = OwnerLookup(store)
    first = lookup(b"1")
    await store.is_asked.wait()  # the statement of those who asked in the first turn has begun
    rest = [lookup(b"%d" % (number % 3)) for number in range(600)]
    gone = rest.pop()
    gone.cancel()
    store.go.set()
    answers = await asyncio.gather(first, *rest)
    assert store.asked == [1, 256, 256, 88]
    of = {
        b"0": Owner(exists=False, is_known=True),
        b"1": Owner(True, False, disabled=True, sessions_from=1, is_known=True),
        b"2": Owner(True, True, disabled=False, sessions_from=2, is_known=True),
    }
    assert answers[1:4] == [of[b"0"], of[b"1"], of[b"2"]]
    assert answers[0] == of[b"1"]


async def test_those_who_ask_one_after_the_other_share_statements() -> None:
    """However soon each is answered, there is one in two milliseconds at the most."""
    store = Store()
    store.go.set()
    lookup, loop = OwnerLookup(store), asyncio.get_running_loop()
    began = loop.time()
    tasks = []
    while len(tasks) < 300:
        tasks.append(lookup(b"2"))
        await asyncio.sleep(0)
    assert set(await asyncio.gather(*tasks)) == {
        Owner(True, True, disabled=False, sessions_from=2, is_known=True)
    }
    assert len(store.asked) <= 1 + (loop.time() - began) / STATEMENT_EACH


async def test_a_store_that_hangs_is_waited_for_once() -> None:
    """A quarter of a second, then nobody waits until it answers, and then everybody asks again."""
    store = Store()
    lookup = OwnerLookup(store)
    since = Stopwatch()
    assert await asyncio.gather(lookup(b"0"), lookup(b"0")) == [Owner(), Owner()]
    assert since.all > 0.2
    assert since.own < 2
    assert all(lookup(b"0").done() for _ in range(100))
    assert store.asked == [2]
    store.go.set()

    async def asks_again() -> bool:
        return not lookup(b"0").done()

    await eventually(asks_again)
    assert await lookup(b"0") == Owner(exists=False, is_known=True)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("a defect")])
async def test_a_store_that_fails_says_nothing(error: Exception) -> None:
    """Sessions go on."""
    store = Store()
    store.go.set()
    store.error = error
    lookup = OwnerLookup(store)
    assert await asyncio.gather(lookup(b"0"), lookup(b"1")) == [Owner(), Owner()]
