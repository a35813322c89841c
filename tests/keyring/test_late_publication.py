"""Keys whose publication has to wait for a lock: others have had no less time to read them."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import milliseconds
from service.keyring import data_key_rotation, token_key_rotation
from service.keyring.data_key_rotation import DataKeyRotation
from service.keyring.records import ROTATED
from service.keyring.store import KeyStore, lock_keys
from service.keyring.token_key_rotation import TokenKeyRotation
from tests.keyring.conftest import DataDir, SetClock


@pytest.fixture(autouse=True)
def _locked_for_long(monkeypatch: pytest.MonkeyPatch, set_clock: SetClock) -> None:
    """Somebody else holds the lock for an hour."""

    async def wait(connection: AsyncConnection) -> None:
        await lock_keys(connection)
        set_clock.advance(timedelta(hours=1))

    for module in (data_key_rotation, token_key_rotation):
        monkeypatch.setattr(module, "lock_keys", wait)


async def test_a_data_key_seals_only_after_all_have_read_it(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """The time until it seals runs from when it can be read."""
    await data_dir.start()
    await DataKeyRotation(data_dir.engine, data_dir.provider, set_clock).begin()
    newest = (await KeyStore(data_dir.engine).read()).data_keys[-1]
    assert newest.created_at == milliseconds(set_clock())
    assert newest.active_from == milliseconds(set_clock() + data_key_rotation.DELAY)


@pytest.mark.parametrize("use", ROTATED)
async def test_a_token_key_is_used_only_after_all_have_read_it(
    data_dir: DataDir, set_clock: SetClock, use: str
) -> None:
    """And guards have fetched it: nobody refuses what it has signed."""
    await data_dir.start()
    store = KeyStore(data_dir.engine)
    opened = await store.open(data_dir.provider, set_clock)
    await TokenKeyRotation(data_dir.engine, set_clock).publish(use, opened)
    newest = (await store.read()).sealed_keys[use][-1]
    assert newest.created_at == milliseconds(set_clock())
    assert newest.active_from == milliseconds(set_clock() + token_key_rotation.DELAY)
