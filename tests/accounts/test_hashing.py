"""The hashing pool: bounded, and no work for those who have left."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.accounts.hashing import HashingPool, usable_cores
from service.errors import Overloaded


class Gate:
    """Work that lasts until it is let go, and counts how often it was begun."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.begun = 0

    def work(self) -> None:
        self.begun += 1
        self.reached.set()
        assert self.opened.wait(30)


@pytest.fixture
async def small_pool() -> AsyncIterator[HashingPool]:
    pool = HashingPool(workers=1, queue_limit=2)
    yield pool
    await pool.close()


async def fill(pool: HashingPool, gate: Gate, jobs: int) -> list[asyncio.Task[None]]:
    """That many jobs, in line; the first of them is running."""
    tasks = [asyncio.create_task(pool.run(gate.work)) for _ in range(jobs)]
    assert await asyncio.to_thread(gate.reached.wait, 30)
    return tasks


async def test_work_is_done_elsewhere(small_pool: HashingPool) -> None:
    """Proves that results and errors come back, and that the event loop's thread does not work."""
    assert await small_pool.run(threading.get_ident) != threading.get_ident()
    assert await small_pool.run(int, "11", base=3) == 4
    with pytest.raises(ValueError, match="invalid literal"):
        await small_pool.run(int, "x")


async def test_the_queue_can_be_counted(small_pool: HashingPool) -> None:
    """Those that wait and those that run, and none of them once they are done."""
    gate = Gate()
    assert small_pool.queue() == (0, 0)
    tasks = await fill(small_pool, gate, 3)
    assert small_pool.queue() == (2, 1)
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert small_pool.queue() == (0, 0)


async def test_a_full_queue_refuses_at_once(small_pool: HashingPool) -> None:
    """Proves that one runs, two wait, the fourth is refused unbegun, and places come free again."""
    gate = Gate()
    tasks = await fill(small_pool, gate, 3)
    for _ in range(3):
        with pytest.raises(Overloaded) as refused:
            await small_pool.run(gate.work)
        assert refused.value.retry_after >= 1
        with pytest.raises(Overloaded):
            small_pool.check_room()
    assert gate.begun == 1
    gate.opened.set()
    await asyncio.gather(*tasks)
    small_pool.check_room()
    assert gate.begun == 3
    assert await small_pool.run(int, "7") == 7


async def test_retry_after_follows_the_measured_time(small_pool: HashingPool) -> None:
    """Proves that slow hashes ask for a longer wait."""
    small_pool._typical = 4.2
    gate = Gate()
    tasks = await fill(small_pool, gate, 3)
    with pytest.raises(Overloaded) as refused:
        await small_pool.run(gate.work)
    assert refused.value.retry_after == 9  # two wait, 4.2 seconds each
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert small_pool._typical < 4.2


async def test_nothing_is_computed_for_those_who_left(small_pool: HashingPool) -> None:
    """Proves that a cancelled caller's waiting job is dropped, and its place is free at once."""
    gate = Gate()
    first, *waiting = await fill(small_pool, gate, 3)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(task.cancelled() for task in waiting)
    replacement = asyncio.create_task(small_pool.run(gate.work))
    gate.opened.set()
    await asyncio.gather(first, replacement)
    assert gate.begun == 2


async def test_a_running_job_keeps_its_place(small_pool: HashingPool) -> None:
    """Proves that callers who leave cannot make the pool take more than it can do."""
    gate = Gate()
    tasks = await fill(small_pool, gate, 3)
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    with pytest.raises(Overloaded):
        await small_pool.run(gate.work)
    gate.opened.set()
    await asyncio.gather(*tasks[1:])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a niceness for each thread")
async def test_workers_step_back(small_pool: HashingPool) -> None:
    """Proves that hashing yields to the event loop, whose own priority stays as it is."""

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    mine = niceness()
    assert await small_pool.run(niceness) == 10
    assert niceness() == mine


async def test_closing_drops_what_waits() -> None:
    """Proves that a shutdown waits for one hash at most, not for the queue."""
    pool = HashingPool(workers=1, queue_limit=2)
    gate = Gate()
    first, *waiting = await fill(pool, gate, 3)
    closing = asyncio.create_task(pool.close())
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.wait({closing}, timeout=0.05)
    assert not closing.done(), "a hash runs still"
    gate.opened.set()
    await asyncio.gather(first, closing)
    assert gate.begun == 1


def test_a_core_is_usable() -> None:
    """Proves that there is a worker even where the machine does not tell its cores."""
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("told", "cores"), [(6, 6), (1, 1), (None, 1)])
def test_where_nobody_says_which_cores_are_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: int | None, cores: int
) -> None:
    """Proves that all of the machine's count then, and one where it does not tell."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: told)
    assert usable_cores(tmp_path / "no limit") == cores


async def test_the_places_are_those_of_the_docs() -> None:
    """Proves that 16 may wait for each worker, and that half of all is the share of a network."""
    pool, gate = HashingPool(workers=2), Gate()
    tasks = [asyncio.create_task(pool.run_for(HERE, gate.work)) for _ in range(17)]
    tasks += [asyncio.create_task(pool.run(gate.work)) for _ in range(17)]
    assert await asyncio.to_thread(gate.reached.wait, 30)
    with pytest.raises(Overloaded):
        await pool.run_for(HERE, gate.work)
    with pytest.raises(Overloaded):
        await pool.run(gate.work)
    gate.opened.set()
    await asyncio.gather(*tasks)
    await pool.close()


@pytest.mark.parametrize(
    ("limit", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None)]
)
def test_a_container_s_limit_counts(tmp_path: Path, limit: str, cores: int | None) -> None:
    """A pod on a large node gets as many threads as it may use cores, and at least one."""
    file = tmp_path / "cpu.max"
    assert usable_cores(file) == len(os.sched_getaffinity(0))
    file.write_text(f"{limit}\n")
    assert usable_cores(file) == (cores or len(os.sched_getaffinity(0)))


def test_the_cores_are_those_of_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Proves that nobody else's count."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2} if pid == 0 else {0})
    assert usable_cores(tmp_path / "no limit") == 3


HERE, THERE = "192.0.2.0/24", "198.51.100.0/24"


async def test_all_that_is_counted_is_counted_off() -> None:
    """Proves that places come back one by one: of jobs that are done, were cancelled, or could not
    be begun as the pool had closed."""
    pool, gate = HashingPool(workers=1, queue_limit=3), Gate()
    running = asyncio.create_task(pool.run_for(HERE, gate.work))
    assert await asyncio.to_thread(gate.reached.wait, 30)
    left = asyncio.create_task(pool.run_for(HERE, gate.work))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    assert (pool._jobs, pool._held, len(pool._waiting)) == (1, {HERE: 1}, 0)
    gate.opened.set()
    await running
    assert (pool._jobs, pool._held, len(pool._waiting)) == (0, {}, 0)
    await pool.close()
    with pytest.raises(RuntimeError):
        await pool.run_for(HERE, gate.work)
    assert (pool._jobs, pool._held, len(pool._waiting)) == (0, {}, 0)
    assert HashingPool()._workers == usable_cores()


@pytest.mark.parametrize(("places", "share"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)])
async def test_how_much_the_share_is(places: int, share: int) -> None:
    """Proves that it is half of the places, rounded down, and one at least."""
    pool, gate = HashingPool(workers=1, queue_limit=places - 1), Gate()
    tasks = [asyncio.create_task(pool.run_for(HERE, gate.work)) for _ in range(share)]
    assert await asyncio.to_thread(gate.reached.wait, 30)
    with pytest.raises(Overloaded):
        pool.check_room(HERE)
    gate.opened.set()
    await asyncio.gather(*tasks)
    pool.check_room(HERE)
    await pool.close()


async def test_a_network_has_its_share() -> None:
    """Proves that one network gets half of the places and no more, and others still get theirs."""
    pool, gate = HashingPool(workers=1, queue_limit=7), Gate()
    mine = [asyncio.create_task(pool.run_for(HERE, gate.work)) for _ in range(10)]
    assert await asyncio.to_thread(gate.reached.wait, 30)
    with pytest.raises(Overloaded) as refused:
        pool.check_room(HERE)
    assert refused.value.retry_after >= 1
    pool.check_room(THERE)
    others = [asyncio.create_task(pool.run_for(THERE, gate.work)) for _ in range(4)]
    await asyncio.sleep(0)
    gate.opened.set()
    assert await asyncio.gather(*others) == [None] * 4
    outcomes = await asyncio.gather(*mine, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 4 + [Overloaded] * 6
    pool.check_room(HERE)
    assert not pool._held, "who has left is forgotten"
    await pool.close()


async def test_who_comes_from_elsewhere_does_not_wait_for_all() -> None:
    """Proves that networks take turns: the newcomer is second in line, not eighth."""
    pool, gate = HashingPool(workers=1, queue_limit=15), Gate()
    done: list[str] = []
    first = asyncio.create_task(pool.run(gate.work))
    assert await asyncio.to_thread(gate.reached.wait, 30)
    many = [asyncio.create_task(pool.run_for(HERE, done.append, HERE)) for _ in range(8)]
    await asyncio.sleep(0)
    one = asyncio.create_task(pool.run_for(THERE, done.append, THERE))
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(first, one, *many)
    assert done.index(THERE) == 1
    await pool.close()


async def test_many_networks_of_a_range_do_not_keep_others_out() -> None:
    """Proves that a full queue makes room for a newcomer: the heaviest area's newest is refused."""
    pool, gate = HashingPool(workers=1, queue_limit=4), Gate()
    first = asyncio.create_task(pool.run(gate.work))
    assert await asyncio.to_thread(gate.reached.wait, 30)
    many = [
        asyncio.create_task(pool.run_for(f"192.0.{number}.0/24", gate.work)) for number in range(9)
    ]
    await asyncio.sleep(0)
    one = asyncio.create_task(pool.run_for(THERE, gate.work))
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(first, one)
    outcomes = await asyncio.gather(*many, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert [each.retry_after for each in refused] == [1] * 6, "four waited, a quarter second each"
    assert gate.begun == 5
    await pool.close()
