"""Short runs of `scripts/chaos`: schedules that must keep all promises, and controls that must not.

A longer look: `scripts/chaos --help`.
"""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from tools.chaos import probing
from tools.chaos.schedule import CONTROLS, Control, Topology, UserStore
from tools.chaos.stage import raised
from tools.chaos.trial import Trial, Verdict, run

SCHEDULES: dict[tuple[Topology, UserStore], int] = {
    ("standalone", "sqlite"): 2933,
    ("sentinel", "sqlite"): 3740,
    ("cluster", "postgresql"): 3501,
}
"""Seeds by what they run on, chosen for the variety of their faults."""

SECONDS, PEOPLE, PODS = 2.0, 4, 2
MOST_TRIES = 8
"""Of a control. Most show at once; on a busy machine little may happen between two faults."""


async def verdict(directory: Path, topology: Topology, users: UserStore, seed: int) -> Verdict:
    async with raised(topology, users, Control(), directory, pods=PODS) as stage:
        return await run(Trial(seed, topology, users, SECONDS, PEOPLE), stage)


async def test_no_promise_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People live through faults, and whatever they were answered still holds at the end.

    All topologies at once: most of a run is waiting.
    """
    monkeypatch.setattr(probing, "PATIENCE", 90.0)  # of a machine that others keep busy
    async with asyncio.TaskGroup() as group:
        tasks = {
            topology: group.create_task(verdict(tmp_path / topology, topology, users, seed))
            for (topology, users), seed in SCHEDULES.items()
        }
    for (topology, users), seed in SCHEDULES.items():
        found = tasks[topology].result()
        assert not found.violations, f"seed {seed} on {topology} with {users}"
        outcomes = Counter(operation.outcome for operation in found.history.operations)
        assert outcomes["ok"] >= 10
        assert found.history.faults


async def tries_until_seen(directory: Path, control: Control) -> int:
    """How many runs it takes until violations are found; all, and one more, if none are."""
    async with raised(control.topology, "sqlite", control, directory, pods=PODS) as stage:
        for seed in range(1, MOST_TRIES + 1):
            trial = Trial(seed, control.topology, "sqlite", SECONDS, PEOPLE, control)
            if (await run(trial, stage)).violations:
                return seed
    return MOST_TRIES + 1


async def tries_until_all_seen(directory: Path, *names: str) -> dict[str, int]:
    """The same of several, at once, by name."""
    async with asyncio.TaskGroup() as group:
        tasks = {
            name: group.create_task(tries_until_seen(directory / name, CONTROLS[name]))
            for name in names
        }
    return {name: task.result() for name, task in tasks.items()}


async def test_a_missing_protection_is_seen(tmp_path: Path) -> None:
    """With any of them switched off, the same checks find what is lost by it.

    `everysec` syncs once a second, `no-wait` does not wait for replicas, and with `redis-retries` a
    command whose reply was lost is sent again.
    """
    tries = await tries_until_all_seen(tmp_path, "everysec", "no-wait", "redis-retries")
    assert max(tries.values()) <= MOST_TRIES, tries


async def test_a_pod_without_a_protection_is_seen(tmp_path: Path) -> None:
    """One that never reads the map of its cluster again, one that waits for whoever reads its log,
    and one that is ready whatever the time is."""
    tries = await tries_until_all_seen(tmp_path, "old-map", "blocking-log", "any-clock")
    assert max(tries.values()) <= MOST_TRIES, tries
