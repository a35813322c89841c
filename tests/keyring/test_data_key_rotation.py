"""Epochs: begun in two steps, left by every record, and then ended; on both kinds of user store."""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from service.accounts.second_factors import SecondFactor, SecondFactors
from service.clock import system_clock
from service.database.tables import users
from service.errors import KeyRefused, SealBroken, StoreUnavailable
from service.keyring.data_key_rotation import DELAY, DataKeyRotation
from service.keyring.envelope import Keyring, epoch_of
from service.keyring.kms.provider import KeyServices
from service.keyring.store import KeyStore
from service.keyring.unsealing import UnsealedKeys
from service.twofactor.codes import reseal_secret, seal_secret
from service.twofactor.resealing import Resealing
from tests.keyring.conftest import DataDir, SetClock
from tests.keyring.pod import Pod
from tests.keyring.rigs import VaultRig

LATER = timedelta(hours=1)


def epochs(data_dir: DataDir, clock: SetClock, provider: Any = None) -> DataKeyRotation:
    return DataKeyRotation(data_dir.engine, provider or data_dir.provider, clock)


async def opened(data_dir: DataDir) -> UnsealedKeys:
    return await KeyStore(data_dir.engine).open(data_dir.provider, system_clock)


async def enrolled(data_dir: DataDir, keyring: Keyring, count: int = 1) -> list[bytes]:
    """The ids of so many new accounts with a second factor, sealed by this keyring."""
    ids = [os.urandom(16) for _ in range(count)]
    factors = SecondFactors(data_dir.engine)
    for user_id in ids:
        row = {"id": user_id, "email": "", "email_key": user_id.hex(), "password_hash": ""}
        await data_dir.change(insert(users).values(row | {"password_scheme": 1, "created_at": 0}))
        sealed = seal_secret(keyring, user_id, user_id, b"s" * 20)
        factor = SecondFactor(user_id, sealed, epoch_of(sealed))
        assert await factors.enable(user_id, factor, [os.urandom(32)])
    return ids


async def reseal(data_dir: DataDir, keyring: Keyring) -> Resealing:
    resealing = Resealing(SecondFactors(data_dir.engine), keyring, lambda _: None)
    await resealing.reseal_enabled()
    return resealing


async def sealed_of(data_dir: DataDir, ids: Sequence[bytes]) -> list[bytes]:
    found = [await SecondFactors(data_dir.engine).get(user_id) for user_id in ids]
    return [factor.totp_sealed for factor in found if factor]


async def test_published_first_used_later(data_dir: DataDir, set_clock: SetClock) -> None:
    """All pods open a new epoch before any of them seals with it; none is restarted."""
    one = await Pod(data_dir, set_clock).start()
    other = await Pod(data_dir, set_clock).start()
    assert await epochs(data_dir, set_clock).begin() == 2
    await one.look()
    assert epoch_of(one.seal()) == 1
    set_clock.advance(DELAY - timedelta(seconds=1))
    await one.look()
    await other.look()
    assert epoch_of(one.seal()) == epoch_of(other.seal()) == 1
    old = other.seal()
    set_clock.advance(timedelta(seconds=1))
    await one.look()
    assert epoch_of(one.seal()) == 2
    assert epoch_of(other.seal()) == 1  # has not looked again yet,
    assert other.opens(one.seal())  # and opens it all the same
    assert one.opens(old)


async def test_unknown_epoch_asks_for_a_look(data_dir: DataDir, set_clock: SetClock) -> None:
    """A pod that has missed an epoch learns it from the first blob of it, not two seconds later."""
    late = await Pod(data_dir, set_clock).start()
    await epochs(data_dir, set_clock).begin()
    set_clock.advance(LATER)
    blob = (await Pod(data_dir, set_clock).start()).seal()
    with pytest.raises(SealBroken):
        late.opens(blob)
    assert late.watch._wake.is_set()
    await late.look()
    assert late.opens(blob)


async def test_two_begin_at_once(data_dir: DataDir, set_clock: SetClock) -> None:
    """Of two operators who begin an epoch at once, one does; the other is told."""
    await data_dir.start()
    begun = await asyncio.gather(
        *(epochs(data_dir, set_clock).begin() for _ in range(2)), return_exceptions=True
    )
    assert 2 in begun
    assert [row.epoch for row in (await data_dir.rows())[0]] in ([1, 2], [1, 2, 3])
    assert all(isinstance(each, int | KeyRefused) for each in begun)


async def test_retire_refuses_what_is_needed(data_dir: DataDir, set_clock: SetClock) -> None:
    """An epoch goes only when it is not current, nothing pending can need it, and neither a record
    nor a key of the service is sealed under it; then what it sealed is gone for good."""
    pod = await Pod(data_dir, set_clock).start()
    change = epochs(data_dir, set_clock)
    (user_id,) = await enrolled(data_dir, pod.keys.keyring)
    blob = pod.seal()

    async def refused(epoch: int, says: str) -> None:
        with pytest.raises(KeyRefused, match=says):
            await change.retire(epoch, timedelta(minutes=11))
        assert 1 in [row.epoch for row in (await data_dir.rows())[0]]

    await refused(1, "epoch 1 is in use")
    await refused(7, "there is no epoch 7")
    await change.begin()
    await refused(1, "epoch 1 is in use")  # the next is published only
    set_clock.advance(DELAY)
    await refused(1, "may still seal a pending enrolment: try again in 66[01] s")
    set_clock.advance(LATER)
    await refused(1, "key 1 is still sealed under epoch 1")
    keys = await opened(data_dir)
    assert await change.reseal_keys(keys) == 4
    await refused(1, "records are still sealed under epoch 1")
    await data_dir.change(update(users).values(totp_epoch=None))
    await refused(1, "records do not tell their epoch yet")
    resealing = await reseal(data_dir, Keyring(keys.data_keys))
    assert (resealing.broken, await SecondFactors(data_dir.engine).epochs()) == (0, {2: 1})
    await change.retire(1, timedelta(minutes=11))
    await pod.look()
    with pytest.raises(SealBroken):
        pod.opens(blob)
    factor = await SecondFactors(data_dir.engine).get(user_id)
    assert factor
    reseal_secret(pod.keys.keyring, user_id, user_id, factor.totp_sealed)  # raises if it is lost


async def test_nothing_is_stored_under_a_retired_epoch(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """A pod that has slept through a rotation cannot store a secret that nobody could open."""
    asleep = await Pod(data_dir, set_clock).start()
    change = epochs(data_dir, set_clock)
    await change.begin()
    set_clock.advance(LATER)
    await change.reseal_keys(await opened(data_dir))
    await change.retire(1, timedelta())
    with pytest.raises(StoreUnavailable, match="retired data key"):
        await enrolled(data_dir, asleep.keys.keyring)


async def test_keys_of_the_service_are_not_sealed_under_a_retired_epoch(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """Resealing with keys from before a retirement is refused: it would lose them."""
    await data_dir.start()
    stale = await opened(data_dir)
    change = epochs(data_dir, set_clock)
    await change.begin()
    set_clock.advance(LATER)
    await change.reseal_keys(await opened(data_dir))
    await change.retire(1, timedelta())
    with pytest.raises(KeyRefused, match="just retired epoch 1"):
        await change.reseal_keys(stale)
    await data_dir.start()


async def test_rewrap_leaves_what_has_changed(data_dir: DataDir, set_clock: SetClock) -> None:
    """A secret that somebody replaces or removes between reading and writing stays theirs."""
    pod = await Pod(data_dir, set_clock).start()
    await epochs(data_dir, set_clock).begin()
    keys = await opened(data_dir)
    ids = await enrolled(data_dir, pod.keys.keyring, 3)
    factors = SecondFactors(data_dir.engine)
    read = await factors.sealed_under_others(2, b"", 10)
    newer = seal_secret(pod.keys.keyring, read[0].user_id, read[0].enrolment_id, b"t" * 20)
    of_first = users.c.id == read[0].user_id
    await data_dir.change(update(users).where(of_first).values(totp_sealed=newer))
    await factors.disable(read[1].user_id, read[1].enrolment_id)
    new = Keyring(keys.data_keys, 2)
    renewed = [
        (each, reseal_secret(new, each.user_id, each.enrolment_id, each.sealed)) for each in read
    ]
    await factors.reseal(renewed, 2)
    assert await factors.epochs() == {1: 1, 2: 1}
    assert newer in await sealed_of(data_dir, ids)
    assert len(await sealed_of(data_dir, ids)) == 2


async def test_broken_secret_is_counted_and_left(data_dir: DataDir, set_clock: SetClock) -> None:
    """What does not open stays as it is, and keeps nobody else's from being moved."""
    pod = await Pod(data_dir, set_clock).start()
    ids = await enrolled(data_dir, pod.keys.keyring, 3)
    await data_dir.change(update(users).where(users.c.id == ids[1]).values(totp_sealed=b"junk"))
    await epochs(data_dir, set_clock).begin()
    resealing = await reseal(data_dir, Keyring((await opened(data_dir)).data_keys))
    assert resealing.broken == 1
    assert await SecondFactors(data_dir.engine).epochs() == {1: 1, 2: 2}
    assert b"junk" in await sealed_of(data_dir, ids)


async def test_moving_to_another_key_service(
    data_dir: DataDir, set_clock: SetClock, vault_rig: VaultRig
) -> None:
    """From the key file to Vault, with pods of both settings running: afterwards the file is not
    needed, and a second epoch is Vault's from the start."""
    old = await Pod(data_dir, set_clock).start()
    blob = old.seal()
    made = {"vault": vault_rig.provider(), "local": data_dir.provider}.__getitem__
    vault = KeyServices("vault", made)
    moved = await epochs(data_dir, set_clock, vault).rewrap_data_keys(
        await KeyStore(data_dir.engine).open(vault, set_clock)
    )
    assert moved == 1
    await epochs(data_dir, set_clock, vault).begin()
    assert [row.wrapped[:9] for row in (await data_dir.rows())[0]] == [b"\x03vault:v1"] * 2
    data_dir.provider.path.unlink()
    assert (await Pod(data_dir, set_clock, vault_rig.provider()).start()).opens(blob)
    both = KeyServices("local", made)  # a pod of before, which has both settings
    assert (await Pod(data_dir, set_clock, both).start()).opens(blob)


async def test_key_service_that_does_not_give_back(data_dir: DataDir, set_clock: SetClock) -> None:
    """A wrapping that does not unwrap to the same key never takes the place of one that does."""

    class Forgetful:
        def wrap(self, data_key: bytes, aad: bytes) -> bytes:
            return data_dir.provider.wrap(bytes(32), aad)

        def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
            return data_dir.provider.unwrap(wrapped, aad)

        def __str__(self) -> str:
            return "the forgetful one"

    await data_dir.start()
    before = await data_dir.rows()
    with pytest.raises(KeyRefused, match="the forgetful one does not give back"):
        await epochs(data_dir, set_clock, Forgetful()).rewrap_data_keys(await opened(data_dir))
    assert await data_dir.rows() == before
