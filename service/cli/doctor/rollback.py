"""Checks whether Redis has gone back in time, by what the user store knows of it."""

import msgspec
from redis.exceptions import RedisError

from service.cli.doctor.findings import Finding, fault
from service.composition.rollback import create_acceptance
from service.embedded.client import server_url
from service.errors import StartupError, StoreUnavailable
from service.settings import Secret, Settings


async def check_rollback(settings: Settings, url: str) -> list[Finding]:
    """Compare Redis with the user store at `url`. Where one is away, other checks say so."""
    if settings.redis_rollback == "off":
        return []
    known = msgspec.structs.replace(settings, database_url=Secret(url))
    try:
        acceptance = create_acceptance(known, settings.redis_url or server_url(settings.data_dir))
    except StartupError:
        return []
    try:
        lost = await acceptance.lost()
    except (StoreUnavailable, RedisError):
        return []
    finally:
        await acceptance.aclose()
    if not lost.buckets:
        return []
    if settings.redis_rollback == "refuse":
        advice = (
            "put a newer file back if there is one; else run `openshow-auth redis accept --yes`"
        )
    else:
        advice = (
            "the service ends again what had ended, within seconds: see that it runs, and its log"
        )
    return [fault("redis", " ".join(lost.told()), advice)]
