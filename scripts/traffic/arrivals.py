"""Arrivals at a rate of their own: nobody waits for the answers to those who came before."""

import random
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import ClassVar

import gevent
import msgspec
from gevent.event import Event
from gevent.pool import Group
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser

from traffic.errands import Errands
from traffic.mixes import Mix
from traffic.record import Record

_OVERTIME = 5.0
"""Seconds after the planned end at which a generator that is behind gives up."""


class Plan(msgspec.Struct, frozen=True):
    """How many arrive a second, for how many seconds, and how many of those count."""

    mix: Mix
    rate: float
    warm_up: float
    duration: float
    even: bool = False
    """Evenly spaced; else at random, as people who know nothing of each other arrive (Poisson)."""

    @property
    def seconds(self) -> float:
        """Altogether."""
        return self.warm_up + self.duration

    def times(self) -> Iterator[float]:
        """When arrivals are due, in seconds since the start."""
        due = 0.0
        while True:
            due += 1 / self.rate if self.even else random.expovariate(self.rate)
            if due >= self.seconds:
                return
            yield due


class Crew(msgspec.Struct):
    """What an arrival needs, and what comes of it."""

    plan: Plan
    errands: Errands
    record: Record
    patience: float
    """Seconds after the last arrival until everything still open counts as lost."""
    unsent: int = 0
    """Arrivals that the generator did not get round to, or that found nobody left to send."""
    under_way: int = 0
    most_under_way: int = 0
    cpu: float = 0.0
    """CPU seconds of the generator in the steady state."""


class Arrivals(User):
    """The one locust user: it stands at the door and sends everybody in at their time."""

    crew: ClassVar[Crew]
    done: ClassVar[Event]

    @task
    def open_door(self) -> None:
        try:
            _let_in(self.crew)
        finally:
            self.done.set()
        raise StopUser


def run(environment: Environment, crew: Crew, meanwhile: Callable[[], None]) -> None:
    """Let everybody in and wait for their answers. `meanwhile` is called again and again."""
    runner = environment.runner or environment.create_local_runner()
    Arrivals.crew, Arrivals.done = crew, Event()
    runner.start(1, spawn_rate=1)
    try:
        while not Arrivals.done.wait(0.2):
            meanwhile()
    finally:
        runner.stop()


def _let_in(crew: Crew) -> None:
    plan, start, group = crew.plan, crew.record.started, Group()
    errands = list(plan.mix.weights)
    up_to = list(accumulate(plan.mix.weights.values()))
    cpu_before: float | None = None
    for due in plan.times():
        wait = start + due - time.perf_counter()
        # Also when late: without a pause in which answers are read it would only become later.
        gevent.sleep(max(0.0, wait))
        if cpu_before is None and due >= plan.warm_up:
            cpu_before = time.process_time()
        if -wait > _OVERTIME and time.perf_counter() - start > plan.seconds + _OVERTIME:
            crew.unsent += 1
            continue
        [errand] = random.choices(errands, cum_weights=up_to)
        group.start(gevent.Greenlet(_come, crew, errand, start + due))
    group.join(timeout=crew.patience)
    crew.cpu = time.process_time() - (cpu_before or time.process_time())
    group.kill()


def _come(crew: Crew, errand: str, due: float) -> None:
    crew.record.set_out(due, time.perf_counter())
    crew.under_way += 1
    crew.most_under_way = max(crew.most_under_way, crew.under_way)
    done = False
    try:
        done = crew.errands.run(errand, due)
    except gevent.GreenletExit:  # it has waited to the end, for an answer or for somebody's turn
        crew.record.note(errand, due, time.perf_counter() - due, "no answer in the end")
        done = True
    finally:
        crew.under_way -= 1
        crew.unsent += not done
