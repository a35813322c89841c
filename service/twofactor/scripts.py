"""How the scripts of this package are called."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from service.keyring.envelope import SEALED_BYTES
from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.redis.keys import (
    CLOCK_SKEW,
    LONGEST_CHANGE,
    SESSION,
    WATERMARK_LIFE,
    bucket,
)
from service.redis.scripts import Script
from service.sessions.origin import RequestOrigin
from service.sessions.record import PROOF
from service.sessions.record import VERSION as RECORD_VERSION
from service.sessions.refresh_tokens import SESSION_ID
from service.twofactor.recovery_codes import CODE_BYTES, COUNT
from service.twofactor.totp import SECRET_BYTES, STEP_SECONDS

ENROLMENT_ID = 16
"""Bytes of an enrolment's id."""

CHALLENGE_BYTES = 16 + ENROLMENT_ID + 1
"""Of a challenge: user id, enrolment id, wrong tries."""

PENDING_BYTES = ENROLMENT_ID + 1 + 8 + SEALED_BYTES + SECRET_BYTES + COUNT * CODE_BYTES
"""Of a pending enrolment: id, wrong tries, confirming step, sealed secrets."""

WATERMARK_MS = WATERMARK_LIFE // timedelta(milliseconds=1)
_CONSTANTS: dict[str, str | int] = {
    "SESSION": SESSION,
    "RECORD_VERSION": RECORD_VERSION,
    "PROOF": PROOF,
    "SESSION_ID_BYTES": SESSION_ID,
    "CHALLENGE_BYTES": CHALLENGE_BYTES,
    "PENDING_BYTES": PENDING_BYTES,
    "CLOCK_SKEW": CLOCK_SKEW // timedelta(milliseconds=1),
    "STEP": STEP_SECONDS * 1000,  # ms
}
_LONGEST_CHANGE_MS = LONGEST_CHANGE // timedelta(milliseconds=1)


def script(name: str) -> Script:
    """The script in this file, after `prelude.lua`."""
    return Script.from_files(__package__, "prelude.lua", name, constants=_CONSTANTS)


async def call(
    redis: RedisClient,
    script_: Script,
    user_id: bytes,
    origin: RequestOrigin,
    keys: Sequence[bytes],
    *arguments: Argument,
) -> Any:
    """Call a script with what `prelude.lua` expects, then its own keys and arguments.

    Raises:
        ClockWrong: it judges a code, and this process' clock is too far from Redis'.
        UnknownLayout, StoreUnavailable
    """
    names = bucket(user_id)
    context = ("", user_id.hex(), origin.address_text, origin.request_id)
    return await script_(
        redis,
        (names.index + user_id, names.events, *keys),
        (*context, *arguments, time.time_ns() // 1_000_000, _LONGEST_CHANGE_MS),
    )


_PUBLISH = script("publish.lua")

ChangeEvent = Literal["twoFA.disabled", "twoFA.recoveryCodeUsed", "twoFA.recoveryCodesRenewed"]


async def publish(
    redis: RedisClient,
    user_id: bytes,
    version: int | None,
    event: ChangeEvent,
    origin: RequestOrigin,
) -> None:
    """Tell all pods that the user row is now at `version`, and note why.

    `None`: it goes on changing, so the pods are not told yet.
    """
    await call(redis, _PUBLISH, user_id, origin, [], "" if version is None else version, event)
