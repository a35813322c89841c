"""Data keys that nobody can open: they are not made, and those that are there do no harm."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete

from service.database.tables import data_keys
from service.errors import KeyRefused, KeyServiceRefused, KeyServiceUnavailable
from service.keyring.data_key_rotation import DELAY, DataKeyRotation
from service.keyring.envelope import epoch_of
from service.keyring.kms.provider import KeyProvider
from service.keyring.store import KeyStore
from service.keyring.unsealing import wrap_aad
from tests.keyring.conftest import DataDir, SetClock
from tests.keyring.pod import Pod
from tests.keyring.rigs import VaultRig
from tests.keyring.test_watch import Flaky
from tests.support.bao import Bao
from tests.support.log_state import captured


@pytest.fixture
def encrypts_only(bao: Bao, vault_rig: VaultRig) -> KeyProvider:
    """Vault by a token that may encrypt, and nothing else."""
    rules = 'path "transit/encrypt/first" { capabilities = ["update"] }'
    bao.client.sys.create_or_update_policy("encrypts", rules)
    token = bao.client.auth.token.create(policies=["encrypts"], no_default_policy=True)
    return vault_rig.provider(token=token["auth"]["client_token"])


class Refusing(Flaky):
    """Opens what it has opened before; refuses an epoch."""

    def __init__(self, inner: Any, epoch: int) -> None:
        super().__init__(inner)
        self.epoch: int | None = epoch

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        self.unwrapped += 1
        if self.epoch is not None and aad == wrap_aad(self.epoch):
            raise KeyServiceRefused("access is denied")
        data_key: bytes = self._inner.unwrap(wrapped, aad)
        return data_key


async def test_a_first_start_stores_no_key_that_does_not_open(
    data_dir: DataDir, set_clock: SetClock, encrypts_only: KeyProvider, vault_rig: VaultRig
) -> None:
    """With the right to encrypt alone nothing is stored; with both the same database is begun."""
    pod = await Pod(data_dir, set_clock, encrypts_only).start()
    assert pod.watch.blocking.startswith("The keys are not open")
    assert (await data_dir.rows())[:2] == [[], []]
    await Pod(data_dir, set_clock, vault_rig.provider()).start()
    assert len((await data_dir.rows())[0]) == 1


async def test_an_epoch_that_does_not_open_is_not_begun(
    data_dir: DataDir, set_clock: SetClock, encrypts_only: KeyProvider
) -> None:
    """`rotate` fails, says why, and leaves the tables as they were."""
    await data_dir.start()
    before = await data_dir.rows()
    with pytest.raises(KeyServiceUnavailable, match="lacks the right to update"):
        await DataKeyRotation(data_dir.engine, encrypts_only, set_clock).begin()
    assert await data_dir.rows() == before


async def begin_unopened(data_dir: DataDir, set_clock: SetClock) -> Refusing:
    """Epoch 2 is there, seals by now, and is refused."""
    await data_dir.start()
    await DataKeyRotation(data_dir.engine, data_dir.provider, set_clock).begin()
    set_clock.advance(DELAY)
    return Refusing(data_dir.provider, 2)


async def test_a_pod_whose_sealing_epoch_is_open_is_ready(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """A pod that starts beside a refused epoch seals under the one before and is ready; it takes up
    the new one once it opens, and does not ask all the time."""
    provider = await begin_unopened(data_dir, set_clock)
    pod = await Pod(data_dir, set_clock, provider).start()
    assert pod.watch.problem.startswith("The newest data key is not open")
    assert pod.watch.blocking == ""
    assert epoch_of(pod.seal()) == 1
    assert pod.opens(pod.seal())
    asked = provider.unwrapped
    for _ in range(5):
        await pod.watch._look(ask=False)
    assert provider.unwrapped == asked
    provider.epoch = None
    await pod.look()
    assert epoch_of(pod.seal()) == 2
    assert pod.watch.problem == ""


async def test_lasting_refusals_are_asked_for_less(data_dir: DataDir, set_clock: SetClock) -> None:
    """What an operator has to change is asked for more slowly than what passes by itself."""
    pod = await Pod(data_dir, set_clock, await begin_unopened(data_dir, set_clock)).start()
    waits = []
    for _ in range(6):
        await pod.look()
        waits.append(pod.watch._wait.total_seconds())
    assert waits == [4, 8, 16, 30, 30, 30]


async def test_an_unused_newest_epoch_goes(data_dir: DataDir, set_clock: SetClock) -> None:
    """One that does not seal yet, and one that never opens; none that is in use."""
    await data_dir.start()
    epochs = DataKeyRotation(data_dir.engine, data_dir.provider, set_clock)
    await epochs.begin()
    await epochs.retire(2, DELAY)
    await epochs.begin()
    set_clock.advance(DELAY)
    with pytest.raises(KeyRefused, match="epoch 2 is in use"):
        await epochs.retire(2, DELAY)
    await epochs.retire(2, DELAY, opens=False)
    with pytest.raises(KeyRefused, match="epoch 1 is in use"):
        await epochs.retire(1, DELAY, opens=False)
    assert [row.epoch for row in (await data_dir.rows())[0]] == [1]


async def test_an_epoch_begun_anew_is_another(data_dir: DataDir, set_clock: SetClock) -> None:
    """A pod that looked away while epoch 2 was restored away and begun anew seals under the new
    data key, which all others have, not under the lost one."""
    pod = await Pod(data_dir, set_clock).start()
    epochs = DataKeyRotation(data_dir.engine, data_dir.provider, set_clock)
    await epochs.begin()
    set_clock.advance(DELAY)
    await pod.look()
    lost = pod.keys.keyring._data_keys[2]
    await data_dir.change(delete(data_keys).where(data_keys.c.epoch == 2))  # a restore
    await epochs.begin()
    set_clock.advance(DELAY)
    await pod.look()
    other = await Pod(data_dir, set_clock).start()
    assert pod.keys.keyring._data_keys[2] == other.keys.keyring._data_keys[2] != lost
    assert other.opens(pod.seal())


async def test_another_reason_is_told(
    data_dir: DataDir, set_clock: SetClock, logged: list[dict[str, Any]]
) -> None:
    """When the key service refuses for another reason than before, the log has that, too; the same
    reason is told once."""
    await data_dir.start()
    provider = Flaky(data_dir.provider)
    provider.away = True
    pod = await Pod(data_dir, set_clock, provider).start()
    for _ in range(3):
        await pod.look()
    pod.watch._provider = Refusing(data_dir.provider, 1)
    for _ in range(3):
        await pod.look()
    reasons = [entry["reason"] for entry in logged if entry["event"] == "keys"]
    assert reasons == ["it is away", "access is denied"]


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    with captured() as entries:
        yield entries


async def test_a_refused_epoch_that_others_use_is_not_ready(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """An epoch was refused while it was of no use; since then others have moved all keys under it.
    What they seal this pod cannot open, so it is ready no more, until it is let."""
    provider = await begin_unopened(data_dir, set_clock)
    pod = await Pod(data_dir, set_clock, provider).start()
    assert not pod.watch.blocking
    opened = await KeyStore(data_dir.engine).open(data_dir.provider, set_clock)
    epochs = DataKeyRotation(data_dir.engine, data_dir.provider, set_clock)
    await epochs.reseal_keys(opened)
    await pod.look()
    assert pod.watch.blocking
    provider.epoch = None
    await pod.look()
    assert not pod.watch.problem
