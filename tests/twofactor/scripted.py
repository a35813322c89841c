"""The scripts of the second factor, called with all that they take, for one user."""

import hashlib
from typing import Any

from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.redis.keys import bucket
from service.twofactor import scripts
from service.twofactor.scripts import PENDING_BYTES
from tests.support.looking import events
from tests.support.script_clock import ScriptClock

USER, ENROLMENT = bytes(range(16)), bytes(range(16, 32))
NAMES = bucket(USER)
INDEX, PENDING = NAMES.index + USER, NAMES.pending + USER
CALLS = NAMES.attempts + b"calls:one"
CHALLENGE = NAMES.challenge + hashlib.sha256(b"").digest()
WATERMARK = NAMES.totp + ENROLMENT
SEALED = bytes(range(PENDING_BYTES - 25))
HOUR, MINUTE, STEP = 3_600_000, 60_000, 30_000
LIFE = 300_000
"""Of the last accepted step, ms."""


def pending(tries: int, step: int, enrolment: bytes = ENROLMENT, sealed: bytes = SEALED) -> bytes:
    """A pending enrolment, field by field."""
    return enrolment + bytes((tries,)) + step.to_bytes(8) + sealed


def challenge(tries: int) -> bytes:
    return USER + ENROLMENT + bytes((tries,))


def told(server: RedisServer) -> list[str]:
    """The events about the user, as their type and what only they have."""
    rows = events(server, USER)
    common = {"id", "user", "ip", "request"}
    return [" ".join(value for name, value in row.items() if name not in common) for row in rows]


async def begin(clock: ScriptClock, most: int = 0, caller: bytes = b"", since: int = 0) -> Any:
    return await scripts.begin(
        clock, USER, CLIENT,
        pending_key=PENDING, calls_key=CALLS, caller=caller, since=since,
        enrolment_id=ENROLMENT, sealed=SEALED, pending_life=HOUR,
        calls_most=most, calls_window=HOUR, calls_life=HOUR,
    )  # fmt: skip


async def confirm(clock: ScriptClock, step: int | str, ahead: int = 0) -> Any:
    return await scripts.confirm(
        clock, USER, CLIENT,
        pending_key=PENDING, watermark_key=WATERMARK, enrolment_id=ENROLMENT,
        code_step=step, clock=clock.now + ahead,
    )  # fmt: skip


async def answer(clock: ScriptClock, how: str, step: int | str = "", ahead: int = 0) -> Any:
    return await scripts.answer(
        clock, USER, CLIENT,
        challenge_key=CHALLENGE, watermark_key=WATERMARK, how=how, code_step=step,
        clock=clock.now + ahead,
    )  # fmt: skip


async def spend(clock: ScriptClock, step: int | str, ahead: int = 0) -> Any:
    return await scripts.spend(
        clock, USER, CLIENT, watermark_key=WATERMARK, code_step=step, clock=clock.now + ahead
    )


async def publish(clock: ScriptClock, version: int | str, event: str = "twoFA.x") -> None:
    await scripts.publish_row(clock, USER, CLIENT, row_version=version, event=event)


async def complete(clock: ScriptClock, version: int) -> None:
    await scripts.complete(
        clock, USER, CLIENT, pending_key=PENDING, enrolment_id=ENROLMENT, row_version=version
    )
