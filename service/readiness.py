"""Whether the parts that the service needs can serve, and how durable the sessions are."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.engine import ping
from service.errors import StoreUnavailable
from service.keyspace.link import Link
from service.keyspace.server import ServerReport, inspect_server

log = structlog.get_logger()

PATIENCE = 1.5
"""Seconds a part has to answer. Whoever asks for readiness gets an answer within two."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one part: `message` for people, `facts` for programs."""

    ok: bool
    message: str
    facts: Mapping[str, str] = {}


class Readiness(msgspec.Struct, frozen=True):
    """A part each. The service is ready when all are; `process` is there only while it stops."""

    redis: Part
    users: Part
    keyring: Part
    process: Part | msgspec.UnsetType = msgspec.UNSET

    @property
    def ok(self) -> bool:
        """Whether the service can do all that it is for."""
        return self.ok_without()

    def ok_without(self, ignored: Collection[str] = ()) -> bool:
        """The same, whatever state the parts of these names are in."""
        return all(part.ok for name, part in self.parts().items() if name not in ignored)

    def parts(self) -> dict[str, Part]:
        """Those that there are, by name."""
        named = msgspec.structs.asdict(self).items()
        return {name: part for name, part in named if part is not msgspec.UNSET}

    def stopping(self) -> "Readiness":
        """The same of a process that has been asked to stop."""
        part = Part(False, "The process is stopping; ask another.")
        return msgspec.structs.replace(self, process=part)


class Problems(msgspec.Struct, frozen=True):
    """What those have seen who look in the background: a sentence each, empty when all is well."""

    keys: Callable[[], str] = str
    feed: Callable[[], str] = str


ALL_WELL = Problems()


async def readiness(
    link: Link, engine: AsyncEngine, key_provider: str, problems: Problems = ALL_WELL
) -> Readiness:
    """Ask all parts at the same time. Never raises, and takes no longer than `PATIENCE`."""
    redis_part, users_part = await asyncio.gather(
        _asked("Redis", lambda: _redis(link, problems.feed())),
        _asked("The user store", lambda: _users(engine)),
    )
    # What is open is in memory; whether more should be, the watch over the keys has seen.
    keys_problem = problems.keys()
    keyring_part = Part(
        not keys_problem, keys_problem or "The keys are open.", {"provider": key_provider}
    )
    return Readiness(redis_part, users_part, keyring_part)


async def _asked(name: str, ask: Callable[[], Awaitable[Part]]) -> Part:
    try:
        async with asyncio.timeout(PATIENCE):
            return await ask()
    except TimeoutError:
        return Part(False, f"{name} does not answer.")
    except StoreUnavailable:
        return Part(False, f"{name} cannot be reached.")
    except Exception as error:  # whatever is wrong with a part, the answer is: not ready
        log.error("readiness", part=name, exc_info=error)
        return Part(False, f"{name} answers with an error; see the log.")


async def _redis(link: Link, feed_problem: str) -> Part:
    report = await inspect_server(link)
    unknown = "unknown"
    facts = {
        "version": report.version,
        "maxmemoryPolicy": report.maxmemory_policy or unknown,
        "appendonly": report.appendonly or unknown,
        "appendfsync": report.appendfsync or unknown,
        "replicas": str(report.replicas),
        "minReplicas": str(link.min_replicas),
    }
    if report.evicts:
        message = f"Redis may drop sessions: maxmemory-policy is {report.maxmemory_policy}."
        return Part(False, message, facts)
    if feed_problem:
        return Part(False, feed_problem, facts)
    if report.replicas < link.min_replicas:
        message = f"Changes cannot be confirmed: {link.min_replicas} replicas are to acknowledge "
        return Part(False, message + f"each, and {report.replicas} are connected.", facts)
    return Part(True, _durability(report, link.min_replicas), facts)


def _durability(report: ServerReport, min_replicas: int) -> str:
    if min_replicas:
        disk = " and on disk" if _is_on_disk(report) else ""
        return f"Every change is on {min_replicas + 1} servers{disk} before it is answered."
    if report.appendonly is None or report.appendfsync is None:
        return "Redis does not tell how it is configured, so durability could not be checked."
    if report.appendonly != "yes":
        return "Changes since the last snapshot are lost if Redis crashes: appendonly is off."
    if report.appendfsync != "always":
        return f"The latest changes are lost in a power cut: appendfsync is {report.appendfsync}."
    return "Every change is on disk before it is answered."


def _is_on_disk(report: ServerReport) -> bool:
    return report.appendonly == "yes" and report.appendfsync == "always"


async def _users(engine: AsyncEngine) -> Part:
    await ping(engine)
    return Part(True, f"The user store ({engine.dialect.name}) answers.")
