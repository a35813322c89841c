"""The user store, on SQLite and on PostgreSQL."""

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.waiting import eventually

from service.accounts import row_memory, users as user_store_module
from service.accounts.emails import lookup_key, normalize
from service.accounts.passwords import PasswordHash
from service.accounts.user_rows import Credentials, User
from service.accounts.users import AccountState, Users
from service.clock import moment
from service.database import tables
from service.database.reader import Rows, open_reader
from service.errors import EmailTaken, StoreUnavailable
from tests.support.user_stores import SqliteStore, UserStore

ADA = normalize("Ada@Example.com")
HASH = PasswordHash(1, "$2b$04$first")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)


@pytest.fixture
def users(engine: AsyncEngine) -> Users:
    return Users(engine)


async def rows(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return (await connection.execute(select(func.count(tables.users.c.id)))).scalar_one()


async def test_an_account_is_found_again(users: Users, engine: AsyncEngine) -> None:
    """Proves that what signup answers is what every later question finds, in any process."""
    added = await users.add(ADA, HASH, NOW)
    assert len(added.id) == 16
    assert added == User(added.id, "Ada@Example.com", NOW.replace(microsecond=678_000), False)
    for store in (users, Users(engine)):
        assert await store.get(added.id, 0) == added
        for typed in ("ada@example.com", " ADA@EXAMPLE.COM ", "ａｄａ@example.com"):
            assert await store.find_by_email(lookup_key(typed)) == Credentials(added, HASH)


@pytest.mark.parametrize("typed", ["eve@example.com", "", "\x00", "a\ud800@b", "x" * 100_000])
async def test_the_unknown_is_not_found(users: Users, typed: str) -> None:
    """Proves that there is one answer, none, to whatever is typed for an address."""
    await users.add(ADA, HASH, NOW)
    assert await users.find_by_email(lookup_key(typed)) is None
    assert await users.get(secrets.token_bytes(16), 0) is None
    assert await users.get(b"", 0) is None


async def test_a_taken_address_stays_whose_it_is(users: Users, engine: AsyncEngine) -> None:
    """Proves that a second signup, in whatever spelling, changes nothing."""
    added = await users.add(ADA, HASH, NOW)
    for spelling in ("Ada@Example.com", "ADA@EXAMPLE.COM", "Ａｄａ@example.com"):
        with pytest.raises(EmailTaken) as refused:
            await users.add(normalize(spelling), PasswordHash(1, "$2b$04$second"), NOW)
        assert "second" not in str(refused.value)
    assert await users.find_by_email(ADA.key) == Credentials(added, HASH)
    assert await rows(engine) == 1


async def test_another_violation_is_not_a_taken_address(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that a broken insert is not explained away as EmailTaken."""
    monkeypatch.setattr(secrets, "token_bytes", lambda size: b"\x01" * size)
    await users.add(ADA, HASH, NOW)
    with pytest.raises(IntegrityError):
        await users.add(normalize("eve@example.com"), HASH, NOW)
    with pytest.raises(IntegrityError):
        await users.add_all([normalize("eve@example.com")], HASH, NOW)


async def test_many_are_added_at_once(users: Users, engine: AsyncEngine) -> None:
    """Proves that each is an account like any other, with the ids in the order of the addresses."""
    emails = [normalize(f"Person-{number}@example.com") for number in range(1500)]
    ids = await users.add_all(emails, HASH, NOW)
    assert len(set(ids)) == len(ids) == await rows(engine)
    assert await users.ids([email.key for email in emails]) == {
        email.key: user_id for email, user_id in zip(emails, ids, strict=True)
    }
    found = await users.find_by_email(emails[7].key)
    as_shown = User(ids[7], "Person-7@example.com", NOW.replace(microsecond=678_000))
    assert found == Credentials(as_shown, HASH)
    assert await users.ids([ADA.key]) == {}
    assert await users.ids([]) == {}
    assert await users.add_all([], HASH, NOW) == []


async def test_many_are_added_or_none(users: Users, engine: AsyncEngine) -> None:
    """Proves that one taken address, or the same one twice, keeps all of them out."""
    await users.add(ADA, HASH, NOW)
    eve, mallory = normalize("eve@example.com"), normalize("mallory@example.com")
    for emails in ([eve, ADA, mallory], [eve, mallory, eve]):
        with pytest.raises(EmailTaken):
            await users.add_all(emails, HASH, NOW)
        assert await rows(engine) == 1


async def test_racing_signups_make_one_account(user_store: UserStore) -> None:
    """Proves that of many signups of one address over two processes' pools exactly one succeeds."""
    engines = [user_store.open(), user_store.open()]
    for turn in range(5):
        spellings = [normalize(s + f"{turn}@example.com") for s in ("ada", "ADA", "ａｄａ", "Ada")]
        outcomes = await asyncio.gather(
            *(
                Users(engine).add(email, HASH, NOW)
                for _ in range(4)
                for email in spellings
                for engine in engines
            ),
            return_exceptions=True,
        )
        added = [outcome for outcome in outcomes if isinstance(outcome, User)]
        taken = [outcome for outcome in outcomes if isinstance(outcome, EmailTaken)]
        assert (len(added), len(taken)) == (1, 31)
        assert await rows(engines[0]) == turn + 1
    for engine in engines:
        await engine.dispose()


async def test_a_hash_is_replaced_once(users: Users, engine: AsyncEngine) -> None:
    """Proves that of two who want to replace the same hash only one does."""
    added = await users.add(ADA, HASH, NOW)
    other = (await users.add(normalize("eve@example.com"), HASH, NOW)).id
    newer = [PasswordHash(1, f"$2b$05${number}") for number in range(8)]
    done = await asyncio.gather(*(users.replace_password_hash(added.id, HASH, n) for n in newer))
    assert done.count(True) == 1
    stored = await users.find_by_email(ADA.key)
    assert stored == Credentials(added, newer[done.index(True)])
    for not_stored in (PasswordHash(2, HASH.value), PasswordHash(1, "$2b$04$other")):
        assert not await users.replace_password_hash(other, not_stored, newer[0])
    assert not await users.replace_password_hash(secrets.token_bytes(16), HASH, newer[0])


@contextmanager
def later(seconds: float) -> Iterator[None]:
    """Let so many seconds have passed for the rows in memory, while this lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (row_memory, user_store_module):
            patch.setattr(module, "monotonic", lambda: time.monotonic() + seconds)
        yield


Asked = list[tuple[str, tuple[bytes, ...]]]


@pytest.fixture
def asked(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What readers of the user store ask from now on: the last column, and whose rows."""
    asked: Asked = []
    reader: Any = type(open_reader(engine))
    rows, store = reader.rows, reader.store

    def counting(self: Any, columns: Select[Any]) -> Rows:
        read, what = rows(self, columns), columns.selected_columns.keys()[-1]

        async def counted(user_ids: Sequence[bytes]) -> Sequence[tuple[Any, ...]]:
            asked.append((what, tuple(user_ids)))
            return await read(user_ids)

        return counted

    async def counted_store(self: Any) -> object:
        asked.append(("store", ()))
        return await store(self)

    monkeypatch.setattr(reader, "rows", counting)
    monkeypatch.setattr(reader, "store", counted_store)
    return asked


async def test_a_user_is_read_once(users: Users, engine: AsyncEngine, asked: Asked) -> None:
    """Proves that who I am is answered from memory, and the unknown is always asked for."""
    added = await users.add(ADA, HASH, NOW)
    other_process = Users(engine)
    users = Users(engine)
    for store in (users, other_process, other_process):
        assert await store.get(added.id, 0) == added
    assert len(asked) == 2
    for _ in range(2):
        assert await users.get(b"\x00" * 16, 0) is None
    assert len(asked) == 4
    for _ in range(2):
        assert await users.get(added.id, None) == added, "while the row changes"
    assert len(asked) == 6


async def test_many_people_are_few_statements(
    users: Users, engine: AsyncEngine, asked: Asked
) -> None:
    """Proves that people whom a process has not seen are read many at once, and then, while the
    user store stays what it was, confirmed so: SQL gets less than a hundredth of the calls."""
    ids = await users.add_all([normalize(f"{n}@example.com") for n in range(2000)], HASH, NOW)
    process = Users(engine)
    await process.look()
    asked.clear()
    turns = iter(ids)

    async def lane() -> None:
        for user_id in turns:
            found = await process.get(user_id, 0)
            assert found is not None
            assert found.id == user_id

    await asyncio.gather(*(lane() for _ in range(200)))
    assert sorted(user_id for _, of in asked for user_id in of) == sorted(ids), "once each"
    assert len(asked) <= 2 + len(ids) / 100
    asked.clear()
    for minute in range(1, 4):
        with later(60 * minute):
            await process.look()
            for user_id in ids:
                assert await process.get(user_id, 0) is not None
            await process.confirm()
    statements = [what for what, _ in asked]
    assert set(statements) == {"store", "version"}
    assert len(statements) < 3 * len(ids) / 100


async def test_a_store_that_was_restored_is_noticed(
    users: Users, user_store: UserStore, engine: AsyncEngine
) -> None:
    """Proves that rows of before are not gone by once it is seen to be another, and that of one
    whose rows were put back one by one each is, once it was used."""
    added = await users.add(ADA, HASH, NOW)
    await users.look()
    user_store.ask("UPDATE users SET email = 'eve@example.com', version = 5")
    assert await users.get(added.id, 0) == added, "as Redis says that 0 is current"
    await users.look()
    assert await users.get(added.id, 0) == added
    with later(1.5):
        assert await users.get(added.id, 0) == added
        await users.confirm()
    found = await users.get(added.id, 0)
    assert found is not None
    assert found.email == "eve@example.com"
    await users.look()
    assert await users.get(added.id, 5) == found
    user_store.ask("UPDATE users SET email = 'mallory@example.com'")
    await users.look()
    assert await users.get(added.id, 5) == found
    restore(user_store)
    await users.look()
    found = await users.get(added.id, 5)
    assert found is not None
    assert found.email == "mallory@example.com"


async def test_a_new_connection_to_redis_is_a_doubt(users: Users, user_store: UserStore) -> None:
    """Proves that, once Redis may have gone back to an older version, no row in memory is good."""
    added = await users.add(ADA, HASH, NOW)
    user_store.ask("UPDATE users SET email = 'eve@example.com'")
    assert await users.get(added.id, 0) == added
    users.doubt()
    found = await users.get(added.id, 0)
    assert found is not None
    assert found.email == "eve@example.com"


def restore(store: UserStore) -> None:
    """Put its rows into a file of their own, as `pg_restore` or a copied file does."""
    if not isinstance(store, SqliteStore):
        store.ask("VACUUM FULL users")
        return
    file = Path(store.url.removeprefix("sqlite:///"))
    dump = file.with_name("dump")
    store.ask(f"VACUUM INTO '{dump}'")
    store.lose()
    dump.rename(file)


async def test_what_a_row_tells_besides(users: Users, user_store: UserStore) -> None:
    """Proves that each column is its own field, by whatever statement the row is read."""
    added = await users.add(ADA, HASH, NOW)
    assert (added.disabled_at, added.sessions_from) == (None, 0)
    user_store.ask(
        "UPDATE users SET disabled_at = 1, sessions_from = 2, password_changed_at = 3,"
        " email_verified_at = 4, version = 5"
    )
    expected = msgspec.structs.replace(
        added,
        version=5,
        disabled_at=moment(1),
        sessions_from=2,
        password_changed_at=moment(3),
        email_verified_at=moment(4),
    )
    assert await users.get(added.id, 5) == expected
    assert await users.find_by_email(ADA.key) == Credentials(expected, HASH)
    assert await users.credentials(added.id) == Credentials(expected, HASH)
    assert await users.states([added.id]) == {added.id: AccountState(False, True, 2)}


async def test_memory_is_bounded(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that the users kept in memory are so many, the latest used."""
    monkeypatch.setattr(row_memory, "_LATEST", 2)
    ids = [(await users.add(normalize(f"{n}@x.de"), HASH, NOW)).id for n in range(2)]
    await users.get(ids[0], 0)
    await users.add(normalize("2@x.de"), HASH, NOW + timedelta(days=1))
    latest = users._memory._latest
    assert ids[0] in latest
    assert ids[1] not in latest
    assert len(latest) == 2


@pytest.mark.parametrize("is_away", [False, True])
async def test_rows_are_forgotten_in_time(
    users: Users, user_store: UserStore, monkeypatch: pytest.MonkeyPatch, is_away: bool
) -> None:
    """Proves that none is kept for hours, although nobody asks or the user store is away."""
    monkeypatch.setattr(row_memory, "_KEPT_FOR", 1.0)
    monkeypatch.setattr(user_store_module, "_CONFIRMED_EACH", 0.001)
    added = await users.add(ADA, HASH, NOW)
    if is_away:
        user_store.lose()
        users._memory.is_away = True
    with later(1.1):
        confirming = asyncio.create_task(users.keep_confirmed())

        async def is_forgotten() -> bool:
            return added.id not in users._memory._latest

        await eventually(is_forgotten)
        confirming.cancel()


@pytest.mark.parametrize("statement", ["look", "confirmation"])
async def test_no_answer_is_an_outage(
    users: Users, user_store: UserStore, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """Proves that rows in memory stay good while the store, or its table alone, is held up."""
    monkeypatch.setattr(user_store_module, "_CONFIRMED_EACH", 0.001)
    monkeypatch.setattr(user_store_module, "_HANGS_AFTER", 0.01)
    added, goes_on = await users.add(ADA, HASH, NOW), asyncio.Event()
    holder, name = (users._reader, "store") if statement == "look" else (users, "_versions")
    ask = getattr(holder, name)

    async def held_up(*asked: Any) -> Any:
        await goes_on.wait()
        return await ask(*asked)

    monkeypatch.setattr(holder, name, held_up)
    confirming = asyncio.create_task(users.keep_confirmed())

    async def is_away() -> bool:
        return await users.get(added.id, 0) == added and users._memory.is_away

    with later(1.0):
        await eventually(is_away)
    user_store.ask("UPDATE users SET email = 'eve@example.com'")
    with later(60.0):
        assert await users.get(added.id, 0) == added
    goes_on.set()

    async def is_there() -> bool:
        return not users._memory.is_away

    await eventually(is_there)
    confirming.cancel()


async def test_a_store_that_is_gone_is_unavailable(users: Users, user_store: UserStore) -> None:
    """Proves that each question says so, and none of them makes a new, empty file."""
    added = await users.add(ADA, HASH, NOW)
    user_store.lose()
    questions = [
        users.add(normalize("eve@example.com"), HASH, NOW),
        users.add_all([normalize("eve@example.com")], HASH, NOW),
        users.ids([ADA.key]),
        users.find_by_email(ADA.key),
        users.get(secrets.token_bytes(16), 0),
        users.replace_password_hash(added.id, HASH, HASH),
    ]
    for question in questions:
        with pytest.raises(StoreUnavailable):
            await question
    assert await users.get(added.id, 0) == added
