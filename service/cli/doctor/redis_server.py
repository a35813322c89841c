"""Checks Redis: whether it answers, keeps what it has confirmed, and is ours."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta

from redis.exceptions import RedisError

from service.cli.doctor.findings import Finding, fault, ok, warning
from service.clock import system_clock
from service.confirmations.guard_positions import GuardPositions
from service.confirmations.status import GuardStatus, GuardStatuses
from service.embedded.client import server_url, state_of
from service.embedded.files import socket_path
from service.errors import Refusal, RevocationUnconfirmed, StoreRefuses, StoreUnavailable
from service.readiness.checks import clock_part
from service.redis.client import RedisClient
from service.redis.event_streams import ADVICE as KEY_ADVICE, foreign_streams
from service.redis.feed_marking import FeedMarking, Mark, shown
from service.redis.keys import BUCKETS
from service.redis.node import Timing
from service.redis.probe import Written, probe
from service.redis.requirements import ServerReport, inspect_server
from service.redis.rights import LOADING_LINE
from service.settings import Settings

_TIMING = Timing(timedelta(seconds=2), timedelta(seconds=5))

_ACL = "give the user of SERVICE_REDIS_URL the line of redis.conf, under `Who may do what`"
ADVICE: dict[Refusal, str] = {
    "user": f"compare user and password in SERVICE_REDIS_URL with the server's, and {_ACL}",
    "database": "name a database that the server has, at the end of SERVICE_REDIS_URL",
    "read-only": "name the primary in SERVICE_REDIS_URL, or let Sentinels: redis+sentinel://",
    "full": "raise maxmemory, and keep maxmemory-policy noeviction",
    "disk": "see why it cannot save: room on its disk, its log, `INFO persistence`",
    "replicas": "bring replicas back, or lower min-replicas-to-write",
    "busy": "wait until it has done (its log, `SLOWLOG GET`), or raise maxclients",
    "cluster": "see that each slot has a server: `CLUSTER SHARDS`, and the scheme redis+cluster://",
    "foreign": "set SERVICE_ISSUER to what it was, or run `openshow-auth redis claim --yes`",
    "rollback": "let a pod run, which ends again what had ended; or `openshow-auth redis accept`",
    "error": "look into the server's log, and at its version",
}
"""What to do about each reason that Redis refuses for."""
_REACH = (
    "see that the servers in SERVICE_REDIS_URL run and can be reached from here; a server with TLS"
    " needs rediss://"
)


async def check_redis(settings: Settings) -> list[Finding]:
    """Look at all primaries, write a key that ends by itself, and read the marks of the feed.

    Raises:
        SettingsError: the URL cannot be read.
    """
    if not settings.redis_url and state_of(socket_path(settings.data_dir)) == "silent":
        return [
            warning(
                "redis", f"No embedded Valkey runs on {settings.data_dir.resolve()}",
                "start the service, and ask again",
            )
        ]  # fmt: skip
    url = settings.redis_url or server_url(settings.data_dir)
    redis = RedisClient(url, settings.redis_min_replicas, _TIMING)
    found: list[Finding] = []
    try:
        await _look(redis, settings.issuer, found)
    except RevocationUnconfirmed:
        found.append(_unconfirmed(settings.redis_min_replicas))
    except StoreRefuses as refusal:
        found.append(fault("redis", refusal, ADVICE[refusal.refusal]))
    except StoreUnavailable as error:
        found.append(fault("redis", error, _REACH))
    except RedisError as error:  # of a script
        found.append(fault("redis", f"Redis answers with {type(error).__name__}", ADVICE["error"]))
    finally:
        await redis.aclose()
    return found


async def _look(redis: RedisClient, issuer: str, found: list[Finding]) -> None:
    """Add to `found` one after the other: what is asked later may be refused."""
    report = await inspect_server(redis)
    found += [*_durability(report, redis), *_loading(report), *_eviction(report)]
    if report.role == "slave":
        found.append(fault("redis", "Redis takes no changes: it is a replica", ADVICE["read-only"]))
        return
    written = await probe(redis)
    found += _writing(written)
    if not written.missing:
        found += _events(await foreign_streams(redis))
        found += _marks(await FeedMarking(redis, issuer).mark("none"), issuer)
        found += _guards(await GuardStatuses(GuardPositions(redis), system_clock).all())


def _guards(guards: Sequence[GuardStatus]) -> Iterator[Finding]:
    lost = sorted({each.pod for each in guards if each.feed_lost})
    if lost:
        yield warning(
            "guards",
            f"the feed is lost to guards of {', '.join(lost[:5])}",
            "look into their logs; `openshow-auth guards` tells since when",
        )
    elif guards:
        yield ok("guards", f"{len(guards)} guards follow the feed")


def _durability(report: ServerReport, redis: RedisClient) -> Iterator[Finding]:
    part, replicas, awaited = "durability", report.replicas or 0, redis.min_replicas
    if report.appendonly is None:
        yield warning(
            part, "Redis does not tell how it is configured", "allow its user +info, and ask again"
        )
    elif report.appendonly != "yes":
        yield fault(
            part, "a crash of Redis brings ended sessions back: appendonly is off",
            "set appendonly yes and appendfsync always, in the server's configuration, too",
        )  # fmt: skip
    elif report.appendfsync not in (None, "always") and not awaited:
        yield warning(
            part,
            "a power cut loses the latest changes, logouts too: appendfsync is "
            f"{report.appendfsync}",
            "set appendfsync always, or have replicas and SERVICE_REDIS_MIN_REPLICAS",
        )
    else:
        asked = "" if report.appendfsync else ", which our user may not ask; redis.conf has it"
        yield ok(part, f"Changes are in an append-only file, with appendfsync always{asked}")
    if replicas < awaited:
        yield fault(
            part, f"SERVICE_REDIS_MIN_REPLICAS is {awaited}, and {replicas} replicas are connected",
            "bring replicas back: until then each change is 503",
        )  # fmt: skip
    elif redis.topology == "sentinel" and replicas > awaited:
        yield warning(
            part, f"a failover may lose the latest changes: of {replicas} replicas {awaited} are"
            " waited for",
            f"set SERVICE_REDIS_MIN_REPLICAS={replicas}",
        )  # fmt: skip


def _loading(report: ServerReport) -> Iterator[Finding]:
    if report.cannot_load:
        yield fault("rights", report.cannot_load, f"set `{LOADING_LINE}` on every server")
    elif report.cannot_load is None:
        yield warning(
            "rights", "whether a restart would load every change could not be checked",
            f"allow our user +acl|dryrun; the user `default` should have `{LOADING_LINE}`",
        )  # fmt: skip


def _eviction(report: ServerReport) -> Iterator[Finding]:
    if report.evicts:
        yield fault(
            "redis", f"Redis may drop sessions: maxmemory-policy is {report.maxmemory_policy}",
            "set maxmemory-policy noeviction",
        )  # fmt: skip


def _writing(written: Written) -> Iterator[Finding]:
    if written.missing:
        names = ", ".join(written.missing)
        yield fault("rights", f"Redis does not let this user use {names}", _ACL)
    else:
        yield ok("rights", "Our user may run all that the scripts run")
    if written.refused:
        yield fault(
            "redis", f"{len(written.refused)} of {BUCKETS} buckets take no changes:"
            f" {written.refused[0]}",
            ADVICE["cluster"],
        )  # fmt: skip
    else:
        yield ok("redis", "Redis answers, and takes changes")
    clock = clock_part(written.skew)
    if clock.ok and not clock.warning:
        yield ok("clock", clock.message)
    else:
        judge = warning if clock.ok else fault
        yield judge("clock", clock.message, "set the clocks of both machines by NTP")


def _events(foreign: Sequence[str]) -> Iterator[Finding]:
    if foreign:
        yield fault(
            "events", f"something else is where events should be: {', '.join(foreign[:5])}",
            KEY_ADVICE,
        )  # fmt: skip


def _unconfirmed(replicas: int) -> Finding:
    return fault(
        "durability", f"changes cannot be confirmed: fewer than {replicas} replicas acknowledge",
        "bring replicas back, or lower SERVICE_REDIS_MIN_REPLICAS",
    )  # fmt: skip


def _marks(marks: list[Mark], issuer: str) -> Iterator[Finding]:
    whose = Counter(mark.whose for mark in marks)
    foreign = sorted({mark.issuer for mark in marks if mark.whose == "foreign"})
    if foreign:
        yield fault(
            "feed", f"guards read this feed as that of {shown(foreign[0])}, and SERVICE_ISSUER is"
            f" {shown(issuer)}",
            ADVICE["foreign"],
        )  # fmt: skip
    elif whose["malformed"]:
        yield fault(
            "feed", f"the mark of {whose['malformed']} buckets cannot be read, and guards let"
            " nobody in",
            "run `openshow-auth redis claim --yes`, and find out who else writes to this Redis",
        )  # fmt: skip
    elif whose["none"]:
        yield warning(
            "feed", f"{whose['none']} of {len(marks)} buckets bear no mark yet",
            "start the service, which marks them once Redis has all that it had; guards count the"
            " feed as lost until then",
        )  # fmt: skip
    else:
        yield ok("feed", f"Guards read this feed as that of {shown(issuer)}")
