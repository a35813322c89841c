"""Lost, replaced or damaged keys: the start stops with one line, and nothing is made anew."""

import traceback
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from service.database.tables import data_keys, sealed_keys, users
from service.errors import StartupError, StoreUnavailable

USES = ["email-digest", "pepper", "refresh-mac", "signing"]
SOMEONE = {
    "id": bytes(16),
    "email": "a@example.org",
    "email_key": "a@example.org",
    "password_hash": "x",
    "password_scheme": 1,
    "created_at": 0,
}


async def start_refused(data_dir: Any, says: str) -> None:
    """The start stops with one line that says this, and leaves the database as it was."""
    before = await data_dir.rows()
    with pytest.raises(StartupError) as caught:
        await data_dir.start()
    message = str(caught.value)
    assert says in message
    assert len(message.splitlines()) == 1
    assert await data_dir.rows() == before


async def test_replaced_key_file(data_dir: Any) -> None:
    """Another key file opens nothing: one line names it; with the old one back all is well."""
    await data_dir.start()
    path = data_dir.provider.path
    path.rename(data_dir.path / "kept")
    data_dir.provider.wrap(bytes(32), b"")
    await start_refused(data_dir, f"{path} does not open the data keys of this database")
    (data_dir.path / "kept").rename(path)
    await data_dir.start()


async def test_lost_key_file(data_dir: Any) -> None:
    """A key file that is gone is asked for; none is made in its place."""
    await data_dir.start()
    path = data_dir.provider.path
    path.unlink()
    await start_refused(data_dir, f"{path} is missing, and the data keys open with it only")
    assert not path.exists()


@pytest.mark.parametrize("left", ["sealed_keys", "users"])
async def test_lost_data_keys(data_dir: Any, left: str) -> None:
    """Where data keys are gone but what they protect is not, none are made anew."""
    await data_dir.start()
    # Numbered as a first start would not number it, so that no collision does the check's work.
    await data_dir.change(update(sealed_keys).values(id="2"), delete(data_keys))
    if left == "users":
        await data_dir.change(delete(sealed_keys), insert(users).values(SOMEONE))
    await start_refused(data_dir, f"lost its data keys but holds {left}")


@pytest.mark.parametrize("use", USES)
async def test_lost_sealed_key(data_dir: Any, use: str) -> None:
    """A use without a key is not given a new one: what the old one made would be void."""
    await data_dir.start()
    await data_dir.change(delete(sealed_keys).where(sealed_keys.c.use == use))
    await start_refused(data_dir, f"lost its {use} key")


async def test_moved_or_damaged_sealed_key(data_dir: Any) -> None:
    """A key put under another use or id, or damaged, is refused and named."""
    await data_dir.start()
    sealed = {row.use: row.sealed for row in (await data_dir.rows())[1]}
    pepper = update(sealed_keys).where(sealed_keys.c.use == "pepper")
    whole = pepper.values(id="1", sealed=sealed["pepper"])
    flipped = sealed["pepper"][:-1] + bytes([sealed["pepper"][-1] ^ 1])
    for damage in ({"sealed": sealed["refresh-mac"]}, {"sealed": flipped}, {"sealed": b""}):
        await data_dir.change(pepper.values(damage))
        await start_refused(data_dir, "the pepper key 1 in the table sealed_keys does not open")
        await data_dir.change(whole)
    await data_dir.change(pepper.values(id="2"))
    await start_refused(data_dir, "the pepper key 2 in the table sealed_keys does not open")
    await data_dir.change(whole)
    await data_dir.start()


async def test_moved_data_key(data_dir: Any) -> None:
    """A data key counts for the epoch it was wrapped for and no other."""
    await data_dir.start()
    await data_dir.change(update(data_keys).values(epoch=2))
    await start_refused(data_dir, "does not open the data keys of this database (epoch 2)")


@pytest.mark.parametrize("key_id", ["", "0", "01", "-1", "256", "x", "²", "٣", "1\n", "1" * 5000])
async def test_id_that_no_token_could_carry(data_dir: Any, key_id: str) -> None:
    """Ids are 1 to 255 in plain digits; anything else is refused when it is loaded."""
    await data_dir.start()
    of_mac = sealed_keys.c.use == "refresh-mac"
    await data_dir.change(update(sealed_keys).where(of_mac).values(id=key_id))
    await start_refused(data_dir, "not a valid number")


async def test_database_out_of_reach(data_dir: Any) -> None:
    """A database that is gone is 'unavailable', which may pass, not a reason to make keys."""
    await data_dir.start()
    data_dir.store.lose()
    with pytest.raises(StoreUnavailable):
        await data_dir.start()


async def test_nothing_shows_a_key(data_dir: Any, secrets_of: Any) -> None:
    """The repr of all keys, and a failed start with its traceback, show no key."""
    keys = await data_dir.start()
    await data_dir.change(update(sealed_keys).values(sealed=b"\x01\x00\x00\x00\x01" + bytes(60)))
    with pytest.raises(StartupError) as caught:
        await data_dir.start()
    told = repr(keys) + str(keys) + "".join(traceback.format_exception(caught.value))
    assert keys.signing.active.kid in told
    for secret in secrets_of(keys):
        for written in (repr(secret)[2:-1], secret.hex(), str(int.from_bytes(secret, "big"))):
            assert written not in told
