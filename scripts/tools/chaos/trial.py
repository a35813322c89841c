"""One run: people, faults, then questions, then the verdict."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import inf

import msgspec

from tools.chaos import probing, sinks, workload
from tools.chaos.app_pod import guarded
from tools.chaos.checker import check
from tools.chaos.client import Person
from tools.chaos.evidence import Terms, Violation
from tools.chaos.history import Fault, History
from tools.chaos.nemesis import Nemesis
from tools.chaos.operators import Operators
from tools.chaos.redone import redone
from tools.chaos.requests import Requests
from tools.chaos.schedule import Control, Planned, Rollback, Topology, UserStore, plan
from tools.chaos.sinks import Sinks
from tools.chaos.stage import ACCESS_LIFE, GRACE, Stage, Tell

_BETWEEN_CHECKS = 20.0
_GUARD_BOUND = 6.0
"""Seconds: five, and what a busy machine takes."""
_GUARD_BOUND_REPLICATED = 20.0
"""The same where a primary that was replaced may go on for a while."""


class Trial(msgspec.Struct, frozen=True):
    """What is to be run. The same values give the same schedule."""

    seed: int
    topology: Topology
    users: UserStore
    seconds: float
    """How long the faults last."""
    people: int = 8
    control: Control = Control()
    rollbacks: tuple[Rollback, ...] = ()
    """How Redis goes back in time."""
    has_sinks: bool = False

    def schedule(self) -> list[Planned]:
        planned = plan(
            self.seed,
            self.topology,
            self.users,
            self.seconds,
            self.control.faults,
            self.control.rollbacks or self.rollbacks,
        )
        return sinks.without_restores(planned) if self.has_sinks else planned

    def terms(self) -> Terms:
        alone = self.topology == "standalone"
        return Terms(GRACE, alone, _GUARD_BOUND if alone else _GUARD_BOUND_REPLICATED, ACCESS_LIFE)


class Verdict(msgspec.Struct, frozen=True):
    """What a run has shown."""

    violations: Sequence[Violation]
    history: History
    replies_lost: int


async def run(
    trial: Trial,
    stage: Stage,
    tell: Tell = lambda step: None,
    copies: Sinks | None = None,
) -> Verdict:
    """Run it on a stage that is up, and leave the stage healed."""
    requests = Requests(History([], []), lambda pod: stage.pods[pod].url, len(stage.pods))
    lost_before = stage.redis.replies_lost()
    try:
        operators = Operators(stage.environment, requests)
        async with guarded(stage, requests) as app_pod:
            people = [
                Person(
                    f"p{number}.of{trial.seed}",
                    requests,
                    operators,
                    app_pod,
                    random.Random(f"{trial.seed} {number}"),
                )
                for number in range(trial.people)
            ]
            nemesis = Nemesis(stage, requests, app_pod)
            async with _copying(trial, copies):
                violations = await _run(trial, stage, requests, people, nemesis, tell)
            if copies is not None and not violations:
                tell("checking the copies")
                violations = await _check_copies(copies, stage, went_back=bool(trial.rollbacks))
    finally:
        requests.close()
    return Verdict(violations, requests.history, stage.redis.replies_lost() - lost_before)


@asynccontextmanager
async def _copying(trial: Trial, copies: Sinks | None) -> AsyncIterator[None]:
    """Have the receiver of the copies go through its moods meanwhile."""
    if copies is None:
        yield
        return
    moods = asyncio.create_task(copies.live(sinks.plan(trial.seed, trial.seconds)))
    try:
        yield
    finally:
        await moods


async def _check_copies(copies: Sinks, stage: Stage, *, went_back: bool) -> list[Violation]:
    redis = sinks.patient_client(stage.redis.url)
    try:
        return await copies.check(redis, stage.environment, went_back=went_back)
    finally:
        await redis.aclose()


async def _run(
    trial: Trial,
    stage: Stage,
    requests: Requests,
    people: Sequence[Person],
    nemesis: Nemesis,
    tell: Tell,
) -> list[Violation]:
    found = await _live_through(trial, people, nemesis, requests, tell)
    tell("healing")
    await stage.heal()
    if found:
        return found
    tell("asking everybody for everything")
    unhealed = []
    try:
        await probing.until_ready(requests)
        await probing.until_guards_serve(people[0].app_pod)
        await probing.probe(people, len(stage.pods), random.Random(f"probe {trial.seed}"))
    except probing.NotHealed as error:
        unhealed = [Violation("not healed", str(error), "", ())]
    requests.history.redone = redone(stage.pods, requests.began_at())
    tell("checking")
    return [*unhealed, *check(requests.history, trial.terms())]


async def _live_through(
    trial: Trial, people: Sequence[Person], nemesis: Nemesis, requests: Requests, tell: Tell
) -> list[Violation]:
    """Let people live while faults happen. Ends early with what was found before the end."""
    found: list[Violation] = []
    tell("signing everybody up")
    await asyncio.gather(*(person.sign_up() for person in people))
    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(workload.live(person))
        weather = group.create_task(_inflict_all(trial, nemesis, requests, tell))
        while not found and not weather.done():
            await asyncio.wait([weather], timeout=_BETWEEN_CHECKS)
            requests.history.redone = redone(nemesis.stage.pods, requests.began_at())
            found = [] if weather.done() else check(requests.so_far(), trial.terms())
        for person in people:
            person.stopped = True
        await weather
    return found


async def _inflict_all(trial: Trial, nemesis: Nemesis, requests: Requests, tell: Tell) -> None:
    schedule = trial.schedule()
    began = requests.now()
    lanes = [[each for each in schedule if each.lane == lane] for lane in ("redis", "others")]
    await asyncio.gather(
        asyncio.sleep(trial.seconds),
        *(_inflict(lane, began, nemesis, requests, tell) for lane in lanes),
    )


async def _inflict(
    schedule: Sequence[Planned], start: float, nemesis: Nemesis, requests: Requests, tell: Tell
) -> None:
    """Inflict one fault after the other, each when it is due or the one before is over."""
    for planned in schedule:
        await asyncio.sleep(max(start + planned.at - requests.now(), 0.1))
        noted, began = requests.history.faults, requests.now()
        tell(f"{began:.1f} s: {planned.kind}")
        place = len(noted)
        noted.append(Fault(kind=planned.kind, target="", started=began, ended=inf))
        effect = msgspec.structs.asdict(await nemesis.inflict(planned))
        noted[place] = Fault(kind=planned.kind, started=began, ended=requests.now(), **effect)
