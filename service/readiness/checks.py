"""Finds the state of each part: how durable sessions are, whether stores take changes, whose
clock is wrong.

A store that answers and takes no change is of no use: both are asked to make one that does no
harm.
"""

import asyncio
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.engine import check_writable
from service.errors import RevocationUnconfirmed, StoreRefuses, StoreUnavailable
from service.readiness.status import ALL_WELL, Part, Probe, Problems, Readiness
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS
from service.redis.probe import Written, probe
from service.redis.requirements import Refusals, ServerReport, inspect_server

CLOCK_WARNING, CLOCK_LIMIT = 5.0, 60.0
"""Seconds that this machine's clock may differ from Redis' before readiness warns, and before the
pod is not ready. Access tokens live by this clock, what they belong to by Redis'."""

_NO_CLOCK = Part(True, "Redis has told no time to compare this clock with.")


class Parts:
    """Asks all parts at the same time."""

    def __init__(
        self,
        redis: RedisClient,
        engine: AsyncEngine,
        key_provider: str,
        problems: Problems = ALL_WELL,
    ) -> None:
        self._redis = redis
        self._engine = engine
        self._key_provider = key_provider
        self._problems = problems
        self._refusals = Refusals()
        self._redis_part = Probe("Redis", self._ask_redis)
        self._users_part = Probe("The user store", self._ask_users)

    async def __call__(self) -> Readiness:
        """Ask all parts. Never raises, and takes no longer than `PATIENCE`."""
        (redis, *clock), (users,) = await asyncio.gather(self._redis_part(), self._users_part())
        # What is open is in memory; whether more should be, the watch over the keys has seen.
        problem = self._problems.keys()
        keyring = Part(not problem, problem or "The keys are open.", self._keyring_facts())
        return Readiness(
            redis,
            users,
            keyring,
            clock[0] if clock else _NO_CLOCK,
            mail=self._problems.mail() or msgspec.UNSET,
        )

    def close(self) -> None:
        """Stop waiting for what still hangs."""
        self._redis_part.close()
        self._users_part.close()

    def _keyring_facts(self) -> dict[str, str]:
        return {"provider": self._key_provider}

    async def _ask_redis(self) -> tuple[Part, ...]:
        try:
            report = await inspect_server(self._redis, self._refusals)
            facts = _facts(report, self._redis.min_replicas)
            if problem := self._problems.rollback():
                return (Part(False, problem, facts),)
            if report.role == "slave":
                return (Part(False, "Redis takes no changes: it is a replica.", facts),)
            written = await probe(self._redis)
        except RevocationUnconfirmed:
            message = f"Changes cannot be confirmed: {self._redis.min_replicas} replicas are to "
            message += f"acknowledge each, and of {facts['replicas']} connected too few do."
            return (Part(False, message, facts),)
        except StoreUnavailable as error:
            if isinstance(error, StoreRefuses) and error.refusal == "error":
                raise  # nobody foresaw it, so its text is for the log alone
            return (Part(False, _sentence(error)),)
        problem = self._problem(report, written)
        if problem:
            return Part(False, problem, facts), clock_part(written.skew)
        risk = _risk(report, self._redis)
        told = [_durability(report, self._redis.min_replicas), risk, _unchecked(report)]
        return Part(True, " ".join(filter(None, told)), facts, bool(risk)), clock_part(written.skew)

    def _problem(self, report: ServerReport, written: Written) -> str:
        """Say why Redis must not be served from, though it answers and takes changes."""
        if report.evicts:
            return f"Redis may drop sessions: maxmemory-policy is {report.maxmemory_policy}."
        if report.cannot_load:
            return _sentence(report.cannot_load)
        if written.refused:
            some = f"{len(written.refused)} of {BUCKETS} buckets take no changes. "
            return some + _sentence(written.refused[0])
        if written.missing:
            some = ", ".join(written.missing[:5])
            return f"Redis does not let this user use {some}; redis.conf has the ACL."
        return self._problems.feed()

    async def _ask_users(self) -> tuple[Part, ...]:
        try:
            await check_writable(self._engine)
        except StoreUnavailable as error:
            return (Part(False, _sentence(error)),)
        return (Part(True, f"The user store ({self._engine.dialect.name}) answers."),)


def _sentence(said: object) -> str:
    """Return what an error says: none of them shows more than anybody may see."""
    text = str(said)
    return f"{text[0].upper()}{text[1:]}."


def _facts(report: ServerReport, min_replicas: int) -> dict[str, str]:
    def known(value: Any) -> str:
        return "unknown" if value is None else str(value)

    return {
        "version": known(report.version),
        "maxmemoryPolicy": known(report.maxmemory_policy),
        "appendonly": known(report.appendonly),
        "appendfsync": known(report.appendfsync),
        "replicas": known(report.replicas),
        "minReplicas": str(min_replicas),
    }


def _durability(report: ServerReport, min_replicas: int) -> str:
    if min_replicas:
        on_disk = report.appendonly == "yes" and report.appendfsync == "always"
        disk = " and on disk" if on_disk else ""
        return f"Every change is on {min_replicas + 1} servers{disk} before it is answered."
    if report.appendonly is None:
        return "Redis does not tell how it is configured, so durability could not be checked."
    if report.appendonly != "yes":
        return "Changes since the last snapshot are lost if Redis crashes: appendonly is off."
    if report.appendfsync is None:
        return (
            "Every change is in the append-only file before it is answered; whether it is on disk "
            "then, as appendfsync always has it, our user may not ask."
        )
    if report.appendfsync != "always":
        return f"The latest changes are lost in a power cut: appendfsync is {report.appendfsync}."
    return "Every change is on disk before it is answered."


def _risk(report: ServerReport, redis: RedisClient) -> str:
    """Say what a failover may lose, where Sentinels may promote a replica that is behind."""
    replicas, awaited = report.replicas or 0, redis.min_replicas
    if redis.topology != "sentinel" or replicas <= awaited:
        return ""
    return (
        f"A failover may lose the latest changes, ends of sessions too: of {replicas} replicas "
        f"{awaited} are waited for; set SERVICE_REDIS_MIN_REPLICAS to {replicas}."
    )


def _unchecked(report: ServerReport) -> str:
    if report.cannot_load is not None:
        return ""
    return (
        "Whether a restart would load every change could not be checked: our user may not ask what "
        "the user `default` may do (+acl|dryrun)."
    )


def clock_part(skew: float) -> Part:
    """Report the clocks. `skew`: seconds that this machine's clock is ahead of Redis'."""
    facts = {"skewMs": str(round(skew * 1000))}
    apart = abs(skew)
    if apart < CLOCK_WARNING:
        return Part(True, "This clock and Redis' agree.", facts)
    direction = "ahead of" if skew > 0 else "behind"
    message = f"This clock is {apart:.0f} s {direction} Redis'; set it by NTP."
    return Part(apart < CLOCK_LIMIT, message, facts, warning=True)
