"""The scripts of this package: each of the files that it needs, with its keys and arguments."""

import time
from datetime import timedelta
from typing import Any, Literal

from service.keyring.envelope import SEALED_BYTES
from service.redis.client import RedisClient
from service.redis.keys import FLOOR, WATERMARK_LIFE
from service.redis.scripts import Constants, Key, Number
from service.sessions.origin import RequestOrigin
from service.sessions.user_scripts import user_script
from service.twofactor.recovery_codes import CODE_BYTES, COUNT
from service.twofactor.totp import SECRET_BYTES, STEP_SECONDS

ENROLMENT_ID = 16
"""Bytes of an enrolment's id."""

CHALLENGE_BYTES = 16 + ENROLMENT_ID + 1
"""Bytes of a challenge: user id, enrolment id, wrong tries."""

CHALLENGE_ROW = b":row"
"""What the name of a challenge's key goes on with for the version of the user row behind it."""

PENDING_BYTES = ENROLMENT_ID + 1 + 8 + SEALED_BYTES + SECRET_BYTES + COUNT * CODE_BYTES
"""Bytes of a pending enrolment: id, wrong tries, confirming step, sealed secrets."""

_CONSTANTS: Constants = {
    "CHALLENGE_BYTES": CHALLENGE_BYTES,
    "CHALLENGE_ROW": CHALLENGE_ROW.decode(),
    "PENDING_BYTES": PENDING_BYTES,
    "STEP": STEP_SECONDS * 1000,  # ms
    "WATERMARK_LIFE": WATERMARK_LIFE // timedelta(milliseconds=1),
    "FLOOR": FLOOR,
}


@user_script(
    "twofactor/begin.lua",
    "sessions/prelude.lua",
    "sessions/records.lua",
    "sessions/everybody.lua",
    "sessions/living.lua",
    "twofactor/pending.lua",
    "twofactor/calls.lua",
    "rate_limits/waits.lua",
    "twofactor/begin_otherwise.lua",
    alone=True,
    constants=_CONSTANTS,
)
def begin(
    *,
    pending_key: Key,
    calls_key: Key,
    caller: bytes,
    since: Number,
    enrolment_id: bytes,
    sealed: bytes,
    pending_life: Number,
    calls_most: Number,
    calls_window: Number,
    calls_life: Number,
) -> Any:
    """Begin an enrolment."""


@user_script(
    "sessions/row_version.lua",
    "twofactor/pending.lua",
    "twofactor/watermark.lua",
    "sessions/records.lua",
    "twofactor/proofs.lua",
    "twofactor/confirm.lua",
    constants=_CONSTANTS,
)
def confirm(
    *,
    pending_key: Key,
    watermark_key: Key,
    enrolment_id: bytes,
    code_step: int | str,
    clock: int,
) -> Any:
    """Judge the code that confirms an enrolment."""


@user_script("sessions/row_version.lua", "twofactor/complete.lua", constants=_CONSTANTS)
def complete(*, pending_key: Key, enrolment_id: bytes, row_version: int | str) -> Any:
    """Consume the pending enrolment."""


@user_script(
    "sessions/row_version.lua",
    "twofactor/watermark.lua",
    "twofactor/answer.lua",
    constants=_CONSTANTS,
)
def answer(
    *, challenge_key: Key, watermark_key: Key, how: str, code_step: int | str, clock: int
) -> Any:
    """Judge the answer to a login challenge."""


@user_script(
    "sessions/row_version.lua",
    "twofactor/watermark.lua",
    "twofactor/spend.lua",
    constants=_CONSTANTS,
)
def spend(*, watermark_key: Key, code_step: int | str, clock: int) -> Any:
    """Spend a code as the leave to change the second factor."""


@user_script("twofactor/watermark.lua", "twofactor/prove.lua", constants=_CONSTANTS)
def prove(*, watermark_key: Key, code_step: int, clock: int) -> Any:
    """Use a TOTP code up as a proof of identity."""


@user_script(
    "sessions/row_version.lua",
    "sessions/records.lua",
    "twofactor/proofs.lua",
    "twofactor/publish.lua",
    constants=_CONSTANTS,
)
def publish_row(*, row_version: int | str, event: str) -> Any:
    """Let the pods know that the user row has changed."""


def clock_ms() -> int:
    """Read the clock of this process, by which codes are judged; ms since 1970."""
    return time.time_ns() // 1_000_000


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
    known = "" if version is None else version
    await publish_row(redis, user_id, origin, row_version=known, event=event)
