"""Reads of rows that share statements: each is as good as one of its own."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from service.accounts.row_lookup import STATEMENT_EACH, RowLookup
from service.accounts.user_rows import User
from service.database.reader import MOST_USERS
from service.errors import StoreUnavailable


class Store:
    """Has everybody but `gone`. Answers, or fails at the read of this number, once it may go."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        self.gone: set[bytes] = set()
        self.may_go = asyncio.Event()
        self.failing = 0

    async def read(self, user_ids: Sequence[bytes]) -> dict[bytes, User]:
        self.asked.append(list(user_ids))
        await self.may_go.wait()
        if len(self.asked) == self.failing:
            raise StoreUnavailable("gone")
        now = datetime.now(UTC)
        return {it: User(it, it.hex(), now) for it in user_ids if it not in self.gone}


def ids(count: int) -> list[bytes]:
    return [number.to_bytes(16) for number in range(1, count + 1)]


def found(user: User | None) -> str | None:
    return user and user.email


async def begun(*tasks: "asyncio.Task[User | None]") -> None:
    """Let each get as far as it gets by itself."""
    for _ in range(3 + len(tasks)):
        await asyncio.sleep(0)


async def test_who_asks_at_once_or_meanwhile_shares_a_statement() -> None:
    """Each gets the own answer, none by a statement that had begun before it asked."""
    store, several = Store(), ids(MOST_USERS + 4)
    lookup = RowLookup(store.read)
    first, others = several[:3], several[3:]
    store.gone = {several[1], several[5]}
    tasks = [asyncio.create_task(lookup.find(user_id)) for user_id in first]
    await begun(*tasks)
    assert store.asked == [first]
    tasks += [asyncio.create_task(lookup.find(user_id)) for user_id in others]
    await begun(*tasks)
    assert store.asked == [first]
    store.may_go.set()
    answers = [found(user) for user in await asyncio.gather(*tasks)]
    assert answers == [None if it in store.gone else it.hex() for it in several]
    assert store.asked == [first, others[:MOST_USERS], others[MOST_USERS:]]
    assert found(await lookup.find(several[0])) == several[0].hex()
    assert store.asked[-1] == several[:1], "and it is asked for again"


async def test_who_asks_one_after_the_other_shares_statements() -> None:
    """However soon each is answered, there is one in two milliseconds at the most."""
    store, several = Store(), ids(300)
    store.may_go.set()
    lookup, loop = RowLookup(store.read), asyncio.get_running_loop()
    began = loop.time()
    tasks = []
    for user_id in several:
        tasks.append(asyncio.create_task(lookup.find(user_id)))
        await asyncio.sleep(0)
    answers = [found(user) for user in await asyncio.gather(*tasks)]
    assert answers == [it.hex() for it in several]
    assert len(store.asked) <= 1 + (loop.time() - began) / STATEMENT_EACH


@pytest.mark.parametrize("failing", [1, 2])
async def test_a_failure_is_everybodys(failing: int) -> None:
    """Whoever waits by then is told at once, and the next read asks again."""
    store, several = Store(), ids(MOST_USERS + 3)
    lookup = RowLookup(store.read)
    tasks = [asyncio.create_task(lookup.find(user_id)) for user_id in several[:3]]
    await begun(*tasks)
    tasks += [asyncio.create_task(lookup.find(user_id)) for user_id in several[3:]]
    await begun(*tasks)
    store.failing = failing
    store.may_go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(answer) for answer in answers[3 * (failing - 1) :]} == {StoreUnavailable}
    assert len(store.asked) == failing
    assert found(await lookup.find(several[0])) == several[0].hex()


async def test_each_has_an_error_of_their_own() -> None:
    """Whom it is about is noted in it, for logs: in another's it would be the wrong one."""

    async def fail(_: Sequence[bytes]) -> dict[bytes, User]:
        raise StoreUnavailable("away") from ConnectionError("lost")

    lookup, several = RowLookup(fail), ids(3)
    finds = (lookup.find(user_id) for user_id in several)
    errors = await asyncio.gather(*finds, return_exceptions=True)
    for user_id, error in zip(several, errors, strict=True):
        assert isinstance(error, StoreUnavailable)
        assert error.about(user_id).user_id == user_id
        assert (str(error), type(error.__cause__)) == ("away", ConnectionError)


@pytest.mark.parametrize("which", [0, 1, 3])
async def test_one_who_gives_up_keeps_nobody(which: int) -> None:
    """Be it whoever asks for all or one of those who wait: the others get their answers."""
    store, several = Store(), ids(4)
    lookup = RowLookup(store.read)
    tasks = [asyncio.create_task(lookup.find(user_id)) for user_id in several[:2]]
    await begun(*tasks)
    tasks += [asyncio.create_task(lookup.find(user_id)) for user_id in several[2:]]
    await begun(*tasks)
    tasks[which].cancel()
    await begun(*tasks)
    store.may_go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers.pop(which), asyncio.CancelledError)
    rest = several[:which] + several[which + 1 :]
    assert [found(user) for user in answers if not isinstance(user, BaseException)] == [
        it.hex() for it in rest
    ]
    assert found(await lookup.find(several[0])) == several[0].hex()
