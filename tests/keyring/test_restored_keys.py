"""Keys that a restored database has lost: pods that run do no harm with them."""

import pytest
from sqlalchemy import delete, insert

from service.database.tables import data_keys, sealed_keys
from service.errors import KeyServiceUnavailable
from service.keyring.data_key_rotation import DELAY, DataKeyRotation
from service.keyring.envelope import epoch_of
from service.keyring.store import KeyStore
from tests.keyring.conftest import DataDir, SetClock
from tests.keyring.pod import Pod
from tests.keyring.test_watch import Flaky


async def begin_anew(data_dir: DataDir, set_clock: SetClock) -> tuple[Flaky, Pod]:
    """A pod that seals under epoch 2, which was restored away and begun anew meanwhile, and under
    which all keys are sealed by now; and its key service."""
    flaky = Flaky(data_dir.provider)
    pod = await Pod(data_dir, set_clock, flaky).start()
    epochs = DataKeyRotation(data_dir.engine, data_dir.provider, set_clock)
    await epochs.begin()
    set_clock.advance(DELAY)
    await pod.look()
    assert epoch_of(pod.seal()) == 2
    await data_dir.change(delete(data_keys).where(data_keys.c.epoch == 2))  # a restore
    set_clock.advance(DELAY)
    await epochs.begin()
    set_clock.advance(DELAY)
    opened = await KeyStore(data_dir.engine).open(data_dir.provider, set_clock)
    await epochs.reseal_keys(opened)
    return flaky, pod


async def test_a_lost_data_key_seals_nothing_while_its_successor_cannot_be_opened(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """Where the key service is away then, the pod seals under what others open as well, and is not
    ready; once the service is back, it seals under the new data key."""
    flaky, pod = await begin_anew(data_dir, set_clock)
    other = await Pod(data_dir, set_clock).start()
    flaky.away = True
    await pod.look()
    assert pod.watch.blocking
    assert other.opens(pod.seal())
    flaky.away = False
    await pod.look()
    assert not pod.watch.problem
    assert epoch_of(pod.seal()) == 2
    assert other.opens(pod.seal())


async def test_without_any_data_key_that_counts_nothing_is_sealed(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """The only epoch was lost and begun anew, and cannot be opened: there is nothing to seal under,
    and what can be done without, such as signing, goes on."""
    flaky, pod = await begin_anew(data_dir, set_clock)
    await data_dir.change(delete(data_keys).where(data_keys.c.epoch == 1))
    flaky.away = True
    await pod.look()
    with pytest.raises(KeyServiceUnavailable):
        pod.seal()
    assert pod.keys.now.signing.can_sign
    flaky.away = False
    await pod.look()
    assert epoch_of(pod.seal()) == 2


async def test_a_pod_that_runs_makes_no_first_keys(data_dir: DataDir, set_clock: SetClock) -> None:
    """In the middle of a restore the tables are there and empty. Keys made then would be in the way
    of those that are about to come back."""
    pod = await Pod(data_dir, set_clock).start()
    before = await data_dir.rows()
    await data_dir.change(delete(sealed_keys), delete(data_keys))
    await pod.look()
    assert (await data_dir.rows())[:2] == [[], []]
    assert pod.watch.blocking
    await data_dir.change(
        *(insert(data_keys).values(row._mapping) for row in before[0]),
        *(insert(sealed_keys).values(row._mapping) for row in before[1]),
    )
    await pod.look()
    assert not pod.watch.problem
    other = await Pod(data_dir, set_clock).start()
    assert other.opens(pod.seal())
