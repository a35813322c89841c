"""Schedules: a pure function of the seed."""

from itertools import pairwise
from typing import get_args

import pytest
from tools.chaos import rollbacks
from tools.chaos.schedule import CONTROLS, Rollback, Topology, UserStore, plan, topology_of

TOPOLOGIES: tuple[Topology, ...] = get_args(Topology)
EXPECTED = [
    "   0.94 s  move slots for 1.14 s (pick 138)",
    "   1.08 s  restore the user store for 1.14 s (pick 669)",
    "   2.74 s  skew a pod's clock for 3.04 s (pick 682)",
    "   2.85 s  freeze a replica for 0.62 s (pick 992)",
]
STORES: tuple[UserStore, ...] = get_args(UserStore)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("users", STORES)
def test_a_seed_is_a_schedule(topology: Topology, users: UserStore) -> None:
    """The same each time; another seed gives another."""
    assert plan(7, topology, users, 60) == plan(7, topology, users, 60)
    assert plan(7, topology, users, 60) != plan(8, topology, users, 60)


def test_a_seed_gives_this_schedule_everywhere() -> None:
    """Also on another machine: what was found there can be looked for here, by the same version."""
    told = [str(planned) for planned in plan(1, "cluster", "sqlite", 4)]
    assert told == EXPECTED


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_each_lane_has_one_fault_at_a_time(topology: Topology) -> None:
    """None begins before the one before it is over, or after the end."""
    schedule = plan(3, topology, "postgresql", 60)
    for lane in ("redis", "others"):
        faults = [planned for planned in schedule if planned.lane == lane]
        assert len(faults) > 10
        assert all(first.at + first.lasts < second.at for first, second in pairwise(faults))
        assert faults[-1].at < 60


def test_a_control_inflicts_what_shows_it() -> None:
    """And nothing else."""
    for control in CONTROLS.values():
        schedule = plan(
            3, control.topology, "sqlite", 60, control.faults, rollbacks=control.rollbacks
        )
        assert {planned.kind for planned in schedule} == set(control.faults)


@pytest.mark.parametrize("users", STORES)
def test_a_topology_meets_what_it_has(users: UserStore) -> None:
    """Pods and the user store are hit on every one; only a cluster is scaled in."""
    for topology in TOPOLOGIES:
        kinds = {planned.kind for planned in plan(3, topology, users, 300)}
        assert kinds >= {"stop a log reader", "skew a pod's clock", "restore the user store"}
        assert ("scale in" in kinds) == (topology == "cluster")
        assert ("freeze PostgreSQL" in kinds) == (users == "postgresql")


def test_seeds_choose_each_topology() -> None:
    """Three in a row meet all three."""
    assert {topology_of(seed) for seed in range(3)} == set(TOPOLOGIES)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("rollback", get_args(Rollback))
def test_redis_goes_back_where_that_is_asked_for(topology: Topology, rollback: Rollback) -> None:
    """And nothing else is done to it; only a cluster goes back in part. Else it never does."""
    asked = plan(3, topology, "sqlite", 300, rollbacks=(rollback,))
    kinds = {planned.kind for planned in asked if planned.lane == "redis"}
    assert kinds < set(rollbacks.KINDS)
    assert bool(kinds & set(rollbacks.SOME)) == (topology == "cluster")
    usual = {planned.kind for planned in plan(3, topology, "sqlite", 300)}
    assert not usual & set(rollbacks.KINDS)
