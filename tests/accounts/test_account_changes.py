"""Changes of an account in the user store, by those who make them at the same time."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.account_changes import AccountChanges, RowChange
from service.accounts.email_changes import EmailChanges
from service.accounts.emails import EmailAddress, normalize
from service.accounts.passwords import PasswordHash
from service.accounts.provider_identities import ProviderIdentities, ProviderIdentity
from service.accounts.second_factors import SecondFactor, SecondFactors
from service.accounts.user_rows import Credentials
from service.accounts.users import Users
from service.database import tables
from service.errors import EmailTaken, Overloaded
from tests.support.user_stores import UserStore

NOW = datetime(2026, 11, 26, 5, 0, 0, 123_000, tzinfo=UTC)
OLD, NEW, OTHER = (PasswordHash(1, f"$2b$04${name}") for name in ("old", "new", "other"))
NOBODY = bytes(16)
CODES = [bytes([number]) * 32 for number in range(3)]


@pytest.fixture
def changes(engine: AsyncEngine) -> AccountChanges:
    return AccountChanges(engine)


@pytest.fixture
async def user_id(engine: AsyncEngine) -> bytes:
    return (await Users(engine).add(normalize("Ada@example.com"), OLD, NOW)).id


async def made(change: Awaitable[RowChange | None]) -> int:
    """The version of a row that was changed."""
    changed = await change
    assert changed is not None
    assert changed.made
    return changed.version


async def row_of(engine: AsyncEngine, user_id: bytes) -> Credentials:
    row = await Users(engine).credentials(user_id)
    assert row is not None
    return row


async def turn_on(engine: AsyncEngine, user_id: bytes) -> int:
    factor = SecondFactor(b"e" * 16, b"sealed")
    version = await SecondFactors(engine).enable(user_id, factor, CODES)
    assert version is not None
    return version


async def test_a_new_password(engine: AsyncEngine, changes: AccountChanges, user_id: bytes) -> None:
    """It is stored with the moment, and sessions count from the row that has it."""
    version = await changes.set_password(user_id, OLD, NEW, NOW)
    row = await row_of(engine, user_id)
    assert (row.password, row.user.password_changed_at) == (NEW, NOW)
    assert version == row.user.version == row.user.sessions_from > 0


async def test_a_password_that_is_another_by_now(
    engine: AsyncEngine, changes: AccountChanges, user_id: bytes
) -> None:
    """Who read a hash that is not stored any more changes nothing; neither does it for nobody."""
    version = await changes.set_password(user_id, OLD, NEW, NOW)
    later = NOW + timedelta(seconds=1)
    assert await changes.set_password(user_id, OLD, OTHER, later) is None
    assert await changes.set_password(user_id, PasswordHash(2, NEW.value), OTHER, later) is None
    assert await changes.set_password(NOBODY, NEW, OTHER, later) is None
    row = await row_of(engine, user_id)
    assert (row.password, row.user.password_changed_at) == (NEW, NOW)
    assert row.user.version == version


async def test_racing_passwords(user_store: UserStore, engine: AsyncEngine, user_id: bytes) -> None:
    """Of twenty who change one password at once, from two processes, one does."""
    other = user_store.open()
    racing = [
        AccountChanges((number % 2 and other) or engine).set_password(
            user_id, OLD, PasswordHash(1, f"$2b$04$new{number}"), NOW
        )
        for number in range(20)
    ]
    versions = await asyncio.gather(*racing)
    await other.dispose()
    [winner] = [number for number, version in enumerate(versions) if version is not None]
    row = await row_of(engine, user_id)
    assert row.password.value == f"$2b$04$new{winner}"
    assert row.user.version == versions[winner]


async def test_disabling_and_enabling(
    engine: AsyncEngine, changes: AccountChanges, user_id: bytes
) -> None:
    """Each raises the version once; what is so already stays as it is. Only one ends sessions."""
    disabled = await made(changes.disable(user_id, NOW))
    again = await changes.disable(user_id, NOW + timedelta(days=1))
    assert again == RowChange(disabled, made=False)
    row = (await row_of(engine, user_id)).user
    assert (row.disabled_at, row.version, row.sessions_from) == (NOW, disabled, disabled)
    enabled = await made(changes.enable(user_id))
    assert enabled > disabled
    assert await changes.enable(user_id) == RowChange(enabled, made=False)
    row = (await row_of(engine, user_id)).user
    assert (row.disabled_at, row.version, row.sessions_from) == (None, enabled, disabled)


async def test_turning_the_second_factor_off(
    engine: AsyncEngine, changes: AccountChanges, user_id: bytes
) -> None:
    """It goes with its recovery codes, and sessions count from then on; once."""
    on = await turn_on(engine, user_id)
    off = await made(changes.turn_off_second_factor(user_id))
    assert off > on
    assert await changes.turn_off_second_factor(user_id) == RowChange(off, made=False)
    row = await row_of(engine, user_id)
    assert (row.enrolment_id, row.user.two_fa_enabled, row.user.recovery_codes_left) == (
        None,
        False,
        0,
    )
    assert row.user.version == row.user.sessions_from == off
    assert await SecondFactors(engine).epochs() == {}


async def test_deleting(engine: AsyncEngine, changes: AccountChanges, user_id: bytes) -> None:
    """The row and its recovery codes go, once, and the address is free again. Others stay."""
    other = (await Users(engine).add(normalize("bob@example.com"), OLD, NOW)).id
    await turn_on(engine, user_id)
    await turn_on(engine, other)
    assert [await changes.delete(user_id), await changes.delete(user_id)] == [True, False]
    assert await Users(engine).credentials(user_id) is None
    assert (await row_of(engine, other)).user.recovery_codes_left == len(CODES)
    async with engine.connect() as connection:
        left = (await connection.execute(tables.recovery_codes.select())).all()
    assert len(left) == len(CODES)
    await Users(engine).add(normalize("ada@EXAMPLE.com"), NEW, NOW)


async def test_nobody(changes: AccountChanges) -> None:
    """Of a user who is not there no change says that it was made."""
    assert await changes.disable(NOBODY, NOW) is None
    assert await changes.enable(NOBODY) is None
    assert await changes.turn_off_second_factor(NOBODY) is None
    assert await changes.delete(NOBODY) is False


async def test_deleting_while_a_factor_is_turned_on(
    user_store: UserStore, engine: AsyncEngine, changes: AccountChanges
) -> None:
    """Neither breaks, and no recovery code of a deleted account is left."""
    other = user_store.open()
    for turn in range(10):
        added = await Users(engine).add(normalize(f"{turn}@example.com"), OLD, NOW)
        on = SecondFactors(other).enable(added.id, SecondFactor(b"e" * 16, b"sealed"), CODES)
        outcomes = await asyncio.gather(on, changes.delete(added.id), return_exceptions=True)
        assert outcomes[1] is True
    await other.dispose()
    async with engine.connect() as connection:
        assert (await connection.execute(tables.recovery_codes.select())).all() == []


async def test_sessions_from_is_never_lowered(
    engine: AsyncEngine, changes: AccountChanges, user_id: bytes
) -> None:
    """It is that of the last change that ends sessions, whatever version others have made since."""
    first = await made(changes.disable(user_id, NOW))
    async with engine.begin() as connection:
        await connection.execute(update(tables.users).values(version=tables.users.c.version + 5))
    second = await changes.set_password(user_id, OLD, NEW, NOW)
    assert second is not None
    assert (await row_of(engine, user_id)).user.sessions_from == second > first + 5


async def test_deleting_frees_addresses_of_before(
    engine: AsyncEngine, changes: AccountChanges, user_id: bytes
) -> None:
    """Nobody is left who could have one back; those that others had stay theirs."""
    users, emails = Users(engine), EmailChanges(engine)
    other = (await users.add(normalize("bob@example.com"), OLD, NOW)).id
    for who, old in ((user_id, "ada@example.com"), (other, "bob@example.com")):
        until = NOW + timedelta(hours=72)
        assert await emails.change(who, old, 0, normalize(f"new.{old}"), NOW, until) is not None
    await changes.delete(user_id)
    await users.add(normalize("ada@example.com"), OLD, NOW)
    with pytest.raises(EmailTaken):
        await users.add(normalize("bob@example.com"), OLD, NOW)


async def test_what_precedes_a_change_of_the_address(engine: AsyncEngine, user_id: bytes) -> None:
    """It is done only where nothing stands against the change, which it can still prevent."""
    other, emails, done = normalize("bob@example.com"), EmailChanges(engine), list[str]()
    await Users(engine).add(other, OLD, NOW)

    async def mail() -> None:
        done.append("mailed")
        if len(done) == 1:
            raise Overloaded(1)

    async def change(old: str, new: EmailAddress) -> int | None:
        return await emails.change(user_id, old, 0, new, NOW, NOW + timedelta(hours=72), mail)

    with pytest.raises(EmailTaken):
        await change("ada@example.com", other)
    assert await change("not.ada@example.com", normalize("new@example.com")) is None
    assert done == []
    with pytest.raises(Overloaded):
        await change("ada@example.com", normalize("new@example.com"))
    assert (await row_of(engine, user_id)).user.email == "Ada@example.com"
    assert await change("ada@example.com", normalize("new@example.com")) is not None
    assert (await row_of(engine, user_id)).user.email == "new@example.com"
    assert done == ["mailed"] * 2


async def test_a_password_by_a_mail(engine: AsyncEngine, changes: AccountChanges) -> None:
    """Who is the first to verify the address has the account alone: no sign-up waits for it any
    more, and identities that were linked before are gone. Those that are linked later stay."""
    known = ProviderIdentities(engine)
    anna = await Users(engine).add(
        normalize("anna@example.com"), OLD, NOW, awaits_verification=True
    )
    other = await known.add_account(
        normalize("o@example.com"), identity("o"), verified=False, now=NOW
    )
    assert await known.join(anna, identity("first"), NOW, kind="link") is not None
    assert await changes.set_password(anna.id, OLD, NEW, NOW, verified=True) is not None
    assert await known.of_user(anna.id) == []
    pending = EmailChanges(engine).verify(anna.id, "anna@example.com", NOW, OTHER)
    assert await pending is None, "the password of a sign-up that waited"

    user = (await row_of(engine, anna.id)).user
    assert await known.join(user, identity("second"), NOW, kind="link") is not None
    later = NOW + timedelta(seconds=1)
    assert await changes.set_password(anna.id, NEW, OTHER, later, verified=True) is not None
    assert [each.subject for each in await known.of_user(anna.id)] == ["second"]
    assert other is not None
    assert len(await known.of_user(other.id)) == 1


def identity(subject: str) -> ProviderIdentity:
    return ProviderIdentity("one", "https://id.example", subject)
