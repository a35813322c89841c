"""Looking at the tables again and again: what happens when a look fails."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update
from tools.testbed.waiting import eventually

from service.database.tables import data_keys, sealed_keys
from service.errors import KeyServiceUnavailable
from service.keyring import watch
from service.keyring.data_key_rotation import DELAY, DataKeyRotation
from service.keyring.envelope import epoch_of
from tests.keyring.conftest import DataDir, SetClock
from tests.keyring.pod import Pod


class Flaky:
    """A key service that can be away, and counts its calls."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.away = False
        self.unwrapped = 0

    def __str__(self) -> str:
        return "the flaky one"

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        wrapped: bytes = self._inner.wrap(data_key, aad)
        return wrapped

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        self.unwrapped += 1
        if self.away:
            raise KeyServiceUnavailable("it is away")
        data_key: bytes = self._inner.unwrap(wrapped, aad)
        return data_key


async def test_key_service_is_asked_once_for_each_data_key(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """However often a process looks, and whatever else has changed, a key is unwrapped once."""
    flaky = Flaky(data_dir.provider)
    pod = await Pod(data_dir, set_clock, flaky).start()
    for _ in range(5):
        await pod.look()
    await data_dir.change(update(data_keys).values(created_at=7))
    await pod.look()
    assert flaky.unwrapped == 1
    await DataKeyRotation(data_dir.engine, data_dir.provider, set_clock).begin()
    for _ in range(3):
        await pod.look()
    assert flaky.unwrapped == 2


async def test_ages_are_those_of_the_keys_in_use(data_dir: DataDir, set_clock: SetClock) -> None:
    """Each grows with time; that of a data key begins anew when the next one seals."""
    pod = await Pod(data_dir, set_clock, data_dir.provider).start()
    before = pod.watch.ages()
    assert set(before) == {"data", "signing", "refresh-mac", "pepper", "email-digest"}
    await DataKeyRotation(data_dir.engine, data_dir.provider, set_clock).begin()
    set_clock.advance(DELAY + timedelta(seconds=5))
    await pod.look()
    after = pod.watch.ages()
    passed = (DELAY + timedelta(seconds=5)).total_seconds()
    assert after["data"] == passed
    assert after["signing"] - before["signing"] == passed


async def test_key_service_is_away_for_a_new_epoch(data_dir: DataDir, set_clock: SetClock) -> None:
    """A pod that cannot open a new data key goes on with the old one and is not ready; then it is.

    It also goes on to follow time: what was published before comes into use."""
    flaky = Flaky(data_dir.provider)
    pod = await Pod(data_dir, set_clock, flaky).start()
    flaky.away = True
    await DataKeyRotation(data_dir.engine, data_dir.provider, set_clock).begin()
    set_clock.advance(DELAY)
    await pod.look()
    assert epoch_of(pod.seal()) == 1
    assert pod.opens(pod.seal())
    assert pod.watch.problem.startswith("The newest data key is not open")
    flaky.away = False
    await pod.look()
    assert epoch_of(pod.seal()) == 2
    assert pod.watch.problem == ""


async def test_damage_at_run_time_is_told_and_does_not_stop(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """A key that vanishes from the tables, or does not open any more: the open ones stay in use."""
    pod = await Pod(data_dir, set_clock).start()
    blob = pod.seal()
    rows = (await data_dir.rows())[1]
    await data_dir.change(update(sealed_keys).values(sealed=b"damaged"))
    await pod.look()
    assert pod.watch.problem == "A key in the database does not open; see the log."
    await data_dir.change(delete(sealed_keys))
    await pod.look()
    assert pod.watch.problem
    assert pod.opens(blob)
    await data_dir.change(sealed_keys.insert().values([row._asdict() for row in rows]))
    await pod.look()
    assert pod.watch.problem == ""


async def test_it_goes_on_by_itself(
    data_dir: DataDir, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task looks again and again, outlives a defect, and waits longer while a key service that
    is away does not come back."""
    monkeypatch.setattr(watch, "POLL", timedelta(milliseconds=10))
    monkeypatch.setattr(watch, "_CALM", timedelta())
    pod = await Pod(data_dir, set_clock).start()
    task = asyncio.create_task(pod.watch.run())
    show, failed = pod.watch._show, []

    def fail_once(opened: Any) -> None:
        if not failed:
            failed.append(1)
            raise RuntimeError("a defect")
        show(opened)

    monkeypatch.setattr(pod.watch, "_show", fail_once)
    await DataKeyRotation(data_dir.engine, data_dir.provider, set_clock).begin()
    set_clock.advance(DELAY)

    async def sealed_with_the_new_one() -> bool:
        return epoch_of(pod.seal()) == 2

    await eventually(sealed_with_the_new_one)
    assert failed
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_waits_double(data_dir: DataDir, set_clock: SetClock) -> None:
    """A key service that is away is asked less and less often, until it is back."""
    flaky = Flaky(data_dir.provider)
    await data_dir.start()
    flaky.away = True
    pod = await Pod(data_dir, set_clock, flaky).start()
    waits = []
    for _ in range(8):
        await pod.look()
        waits.append(pod.watch._wait.total_seconds())
    assert waits == [1, 2, 4, 8, 15, 15, 15, 15]
    flaky.away = False
    await pod.look()
    assert (pod.watch.problem, pod.watch._wait.total_seconds()) == ("", 0.5)
