"""A flood of logins against one worker: how many it serves, and what other calls feel of it.

In each round, one after the other: the other calls alone, bare bcrypt on all cores, the flood
alone, and the flood with the other calls beside it.

The other calls take cores, too, which no hash can have meanwhile: how much is read while they are
alone, and the flood beside them is compared with bare hashes on what they leave.
"""

import os
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from statistics import median

import bcrypt
import msgspec

from service.accounts.hashing import usable_cores
from tools.bench.calls import login
from tools.bench.harness import Generator, Place, compared, place, trickles
from tools.bench.processes import Server, embedded
from tools.bench.results import Found, Row
from tools.http_load.loops import Outcome
from tools.report.progress import StatusLine

_COST = 12
_UNTIMED = "503 without Retry-After"
_CALLS = ("refresh", "logout")
_WARM_UP = 1.0  # seconds: caches fill, connections to the stores open
_TICKS = os.sysconf("SC_CLK_TCK")
_STEPPED_BACK = 1  # hashing threads are nicer than this
_MACHINE = Path("/proc/stat")

Account = Mapping[str, float]
"""CPU seconds so far, by who had them; `all` of the machine's. Empty where this is not Linux."""


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure rounds on one worker."""
    rounds: list[_Round] = []
    async with place(embedded(told.redis), _COST) as here:
        password = token_urlsafe()
        emails = await here.seeder.people(told.storm_connections, password)
        logins = [login(email, password) for email in emails]
        with here.service() as service, Generator() as generator:
            run = _Run(here, service, generator)
            await run(min(_WARM_UP, told.seconds), _CALLS, ())
            for _ in tell.rounds(told.storm_rounds, "a flood of logins"):
                rounds.append(await _round(run, told.seconds, logins))
    note = (
        f"{told.storm_connections} connections log in, bcrypt at cost {_COST}; medians of "
        f"{told.storm_rounds} rounds of {told.seconds:g} s. {rounds[-1].budget}"
    )
    return Found(_rows(rounds), {"flood": note.rstrip()})


class _Round(msgspec.Struct, frozen=True):
    idle: Outcome
    taken: float
    """Share of all cores that the other calls took alone: client, service and Redis."""
    hashes: float
    alone: Outcome
    budget: str
    beside: Outcome


class _Run(msgspec.Struct):
    """Sends trickle and flood from a process of its own."""

    here: Place
    service: Server
    generator: Generator
    before: Account = {}
    after: Account = {}
    """As of the beginning and the end of the last time."""

    async def __call__(
        self, seconds: float, names: Sequence[str], logins: Sequence[bytes]
    ) -> Outcome:
        """Send it, and return when all has calmed down."""
        beside = await trickles(self.here.seeder, names, seconds)
        self.before = self._account()
        outcome = await self.generator.open(self.service, beside, logins, seconds)
        self.after = self._account()
        self.service.wait_until_quiet()  # logins that nobody waits for any more are hashed still
        return outcome

    def _account(self) -> Account:
        return account(self.service, self.here.redis.costs().cpu, self.generator.cpu())


async def _round(run: _Run, seconds: float, logins: Sequence[bytes]) -> _Round:
    idle = await run(seconds, _CALLS, ())
    taken = share_of_ours(run.before, run.after)
    hashes = _bare_hashes(seconds)
    alone = await run(seconds, (), logins)
    cores = budget(run.before, run.after)
    return _Round(idle, taken, hashes, alone, cores, await run(seconds, _CALLS, logins))


def _bare_hashes(seconds: float) -> float:
    """Count bcrypt at this cost on all cores with nothing around it, a second."""
    stored = bcrypt.gensalt(_COST)
    started = time.perf_counter()

    def hash_on(_: int) -> float:
        count = 0
        while time.perf_counter() - started < seconds:
            bcrypt.hashpw(b"password", stored)
            count += 1
        return count / (time.perf_counter() - started)

    cores = usable_cores()
    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(hash_on, range(cores)))


def _rows(rounds: Sequence[_Round]) -> list[Row]:
    floods = [flood for each in rounds for flood in (each.alone, each.beside)]
    shed = sum(flood.answers.get(503, 0) for flood in floods)
    sent = sum(sum(flood.answers.values()) for flood in floods)
    hashes = _median(each.hashes for each in rounds)
    alone = [each.alone.successes_per_second for each in rounds]
    beside = [each.beside.successes_per_second for each in rounds]

    def of_bare_hashes(rates: Sequence[float]) -> float:
        return 100 * _median(rate / each.hashes for rate, each in zip(rates, rounds, strict=True))

    on_what_is_left = 100 * _median(
        each.beside.successes_per_second / each.hashes / (1 - each.taken) for each in rounds
    )
    like = Row("flood", "login", "", 0)
    rows = [
        msgspec.structs.replace(
            like, metric=metric, value=value, unit=unit, limit=limit, at_least=metric != _UNTIMED
        )
        for metric, value, unit, limit in (
            ("bare hashes", hashes, "/s", None),
            ("core time of a hash", round(usable_cores() / hashes * 1e3, 1), "ms", None),
            ("alone", _median(alone), "/s", None),
            ("alone, of bare hashes", of_bare_hashes(alone), "%", 95),
            ("beside calls, of bare hashes", of_bare_hashes(beside), "%", None),
            (
                "cores that the calls take alone",
                _median(100 * each.taken for each in rounds),
                "%",
                None,
            ),
            ("beside calls, of bare hashes on what these leave", on_what_is_left, "%", 95),
            ("shed", round(100 * shed / max(sent, 1), 1), "%", None),
            (_UNTIMED, sum(flood.without_retry_after for flood in floods), "", 0),
        )
    ]
    return [*rows, *compared(_CALLS, [r.idle for r in rounds], [r.beside for r in rounds], like)]


def _median(figures: Iterable[float]) -> float:
    return round(median(figures), 3)


def account(service: Server, redis: float, client: float) -> Account:
    """Take it as of now; `redis` and `client` are their CPU seconds."""
    if not _MACHINE.exists():
        return {}
    ticks = [int(text) for text in _MACHINE.read_text().split("\n")[0].split()[1:9]]
    hashing = _stepped_back(service.pid)
    return {
        "hashing": hashing,
        "service": service.cpu() - hashing,
        "redis": redis,
        "client": client,
        "idle": (ticks[3] + ticks[4]) / _TICKS,
        "all": sum(ticks) / _TICKS,
    }


def _stepped_back(pid: int) -> float:
    """Read the CPU seconds of a process's threads that have a lower priority."""
    seconds = 0.0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has just ended
            fields = (thread / "stat").read_text().rpartition(")")[2].split()
            if int(fields[16]) >= _STEPPED_BACK:
                seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
    return seconds


def share_of_ours(before: Account, after: Account) -> float:
    """Tell which share of all cores service, Redis and client took between two accounts."""
    if not before:
        return 0.0
    ours = sum(after[name] - before[name] for name in ("hashing", "service", "redis", "client"))
    return ours / max(after["all"] - before["all"], 1 / _TICKS)


def budget(before: Account, after: Account) -> str:
    """Tell how the time between two accounts was shared; nothing where it is not known."""
    if not before:
        return ""
    whole = max(after["all"] - before["all"], 1 / _TICKS)
    share = {name: (after[name] - before[name]) / whole for name in after if name != "all"}
    others = max(0.0, 1 - sum(share.values()))  # other programs, and the kernel on nobody's behalf
    ours = sum(share.values()) - share["idle"]
    return (
        f"Who had the cores while the flood was alone: hashing {share['hashing']:.1%}, the rest of "
        f"the service {share['service']:.1%}, Redis {share['redis']:.1%}, the client "
        f"{share['client']:.1%}, other programs and the kernel {others:.1%}, nobody "
        f"{share['idle']:.1%}. Of the CPU that all of this took, whatever others did, hashing had "
        f"{share['hashing'] / ours:.1%}."
    )
