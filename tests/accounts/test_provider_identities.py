"""Identities at providers in the user store: whose they are, and what an account becomes by one."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts import emails
from service.accounts.account_changes import AccountChanges
from service.accounts.email_changes import EmailChanges
from service.accounts.passwords import PasswordHash
from service.accounts.provider_identities import ProviderIdentities, ProviderIdentity
from service.accounts.user_rows import User
from service.accounts.users import Users
from service.errors import EmailTaken

NOW = datetime(2026, 11, 26, tzinfo=UTC)
HASH = PasswordHash(1, "$2b$04$" + "." * 53)
GOOGLE = ProviderIdentity("google", "https://accounts.google.com", "1")
OTHER = ProviderIdentity("google", "https://accounts.google.com", "2")
GITHUB = ProviderIdentity("github", "https://github.com", "1")


@pytest.fixture
def identities(engine: AsyncEngine) -> ProviderIdentities:
    return ProviderIdentities(engine)


@pytest.fixture
async def ann(engine: AsyncEngine) -> User:
    """Somebody with a password, whose address nobody has verified."""
    return await Users(engine).add(emails.normalize("ann@example.com"), HASH, NOW)


async def test_an_account_of_its_own(identities: ProviderIdentities, engine: AsyncEngine) -> None:
    """Without a password, and found by the identity; of two who race, one makes it."""
    address = emails.normalize("Bob@example.com")
    made = await asyncio.gather(
        *(identities.add_account(address, GOOGLE, verified=True, now=NOW) for _ in range(3))
    )
    [bob] = [user for user in made if user is not None]
    assert await identities.user_of(GOOGLE) == bob.id
    assert await identities.user_of(OTHER) is None
    stored = await Users(engine).credentials(bob.id)
    assert stored is not None
    assert stored.password.is_none
    assert (stored.user.email, stored.user.email_verified_at) == ("Bob@example.com", NOW)
    elsewhere = emails.normalize("other@example.com")
    assert await identities.add_account(elsewhere, GOOGLE, verified=False, now=NOW) is None
    assert await Users(engine).find_by_email(elsewhere.key) is None  # both, or neither


async def test_what_is_decided_by_a_row_that_has_changed(
    identities: ProviderIdentities, engine: AsyncEngine, ann: User
) -> None:
    """Nothing is done by it: not to a disabled account, nor to one that is verified by now."""
    assert await identities.join(ann, GOOGLE, NOW, kind="join") is None  # nobody has verified it
    version = await identities.take_over(ann, GOOGLE, NOW)
    assert version
    assert version > ann.version
    assert await identities.take_over(ann, OTHER, NOW) is None
    assert await identities.join(ann, OTHER, NOW, kind="join") is None
    current = (await Users(engine).credentials(ann.id)).user  # type: ignore[union-attr]
    assert (current.version, current.sessions_from) == (version, version)
    assert await identities.take_over(current, OTHER, NOW) is None  # it is verified
    assert await identities.join(current, OTHER, NOW, kind="link") is None  # one of the provider
    await AccountChanges(engine).disable(ann.id, NOW)
    disabled = (await Users(engine).credentials(ann.id)).user  # type: ignore[union-attr]
    assert await identities.join(disabled, GITHUB, NOW, kind="join") is None
    assert [each.subject for each in await identities.of_user(ann.id)] == ["1"]


async def test_what_a_take_over_ends(
    identities: ProviderIdentities, engine: AsyncEngine, ann: User
) -> None:
    """Password and other identities; the new one is the account's."""
    await identities.join(ann, GITHUB, NOW, kind="link")
    read = await Users(engine).credentials(ann.id)
    assert read is not None
    assert await identities.take_over(read.user, GOOGLE, NOW)
    assert await identities.user_of(GITHUB) is None
    assert [each.provider for each in await identities.of_user(ann.id)] == ["google"]
    now = await Users(engine).credentials(ann.id)
    assert now is not None
    assert now.password.is_none
    # A link for a new password gives it one again.
    assert await AccountChanges(engine).set_password(ann.id, now.password, HASH, NOW)


async def test_a_password_by_the_first_mail_that_is_read(
    identities: ProviderIdentities, engine: AsyncEngine, ann: User
) -> None:
    """Whoever has made the account may not be who has the address: they lose their way in. By a
    printed link nobody has read a mail, and a later one tells nothing new."""
    changes, users = AccountChanges(engine), Users(engine)
    assert await identities.join(ann, GITHUB, NOW, kind="link")
    for verified, later, left in ((False, 0, [GITHUB]), (True, 1, []), (True, 2, [GOOGLE])):
        now = NOW + timedelta(seconds=later)
        if later == 2:
            read = await users.credentials(ann.id)
            assert read is not None
            assert await identities.join(read.user, GOOGLE, now, kind="link")
        stored = await users.credentials(ann.id)
        assert stored is not None
        assert await changes.set_password(ann.id, stored.password, HASH, now, verified=verified)
        found = [await identities.user_of(each) == ann.id for each in (GITHUB, GOOGLE)]
        assert found == [each in left for each in (GITHUB, GOOGLE)]


async def test_unlinking(identities: ProviderIdentities, engine: AsyncEngine, ann: User) -> None:
    """All of the provider's; the last way in stays, and a row that has changed is read again."""

    async def read() -> User:
        found = await Users(engine).credentials(ann.id)
        assert found is not None
        return found.user

    assert await identities.unlink(ann, "google", GOOGLE.issuer) == "not linked"
    await identities.join(ann, GOOGLE, NOW, kind="link")
    assert await identities.unlink(ann, "google", GOOGLE.issuer) == "changed"
    # By the issuer, too: the provider may have had another id when it was linked.
    assert isinstance(await identities.unlink(await read(), "renamed", GOOGLE.issuer), int)
    taken = await identities.take_over(await read(), GOOGLE, NOW)
    assert taken
    assert await identities.unlink(await read(), "google", GOOGLE.issuer) == "last"
    assert await identities.user_of(GOOGLE) == ann.id


async def test_a_change_of_the_address(
    identities: ProviderIdentities, engine: AsyncEngine, ann: User
) -> None:
    """While it can be undone nobody gets the address of before by a provider; undoing it takes
    identities away that whoever has changed it may have linked."""
    changes, new = EmailChanges(engine), emails.normalize("new@example.com")
    old = emails.normalize(ann.email)
    assert await changes.change(ann.id, old.key, 0, new, NOW, NOW + timedelta(hours=72))
    with pytest.raises(EmailTaken):
        await identities.add_account(old, GITHUB, verified=True, now=NOW)
    assert await identities.user_of(GITHUB) is None
    read = await Users(engine).credentials(ann.id)
    assert read is not None
    assert await identities.join(read.user, GOOGLE, NOW, kind="link")

    async def nothing() -> None:
        pass

    assert await changes.undo(ann.id, old, NOW, nothing)
    assert await identities.user_of(GOOGLE) is None


async def test_they_go_with_the_account(
    identities: ProviderIdentities, engine: AsyncEngine, ann: User
) -> None:
    """Whoever deletes it, also a program that does not know of them."""
    await identities.join(ann, GOOGLE, NOW, kind="link")
    assert await AccountChanges(engine).delete(ann.id)
    assert await identities.user_of(GOOGLE) is None
