"""Tells, as audit events, of tries at an account that were refused: who, whence, how, and why.

What was right is told by the script that does it, and what concerns no account that there is, by
the line of the request in the log. `docs/events.md` lists both.
"""

import time
from contextlib import suppress
from typing import Any, NamedTuple

from service.errors import (
    AccountDisabled,
    EmailNotVerified,
    InvalidCode,
    InvalidCredentials,
    InvalidPassword,
    ServiceError,
    StoreUnavailable,
    TooManyAttempts,
)
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions.origin import RequestOrigin
from service.sessions.user_scripts import user_script

_KEPT = 4_096
"""Limits of which this process knows that they were told, at the most."""

_REST = 5.0
"""Seconds for which it takes that for known."""

_NOBODY = bytes(16)


@user_script("events/refused.lua")
def _tell(*, event: str, door: str, known: str, detail: str, value: str) -> Any:
    """Tell of a try that was refused."""


class _Told(NamedTuple):
    event: str
    detail: str = ""
    value: str = ""


_EVENTS: dict[type[ServiceError], _Told] = {
    InvalidCredentials: _Told("user.passwordFailed"),
    InvalidPassword: _Told("user.passwordFailed"),
    AccountDisabled: _Told("user.loginRefused", "reason", "disabled"),
    EmailNotVerified: _Told("user.loginRefused", "reason", "unverified"),
    InvalidCode: _Told("twoFA.codeFailed"),
}
"""What is told of an error. `ChallengeFailed` is not here: the script that counts it tells it."""


class SecurityLog:
    """Tells of refusals. No method raises: what was refused stays so, whatever Redis does."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._known: dict[tuple[str, bytes], float] = {}

    async def refused(
        self, door: str, error: ServiceError, origin: RequestOrigin, caller: bytes = b""
    ) -> None:
        """Tell that `error` has refused somebody at a `door`, which is the name of a call.

        `caller`: the user whose session asks. A limit is told once in its window. Nothing is told
        of what is no try at an account.
        """
        error.about(caller)
        with suppress(StoreUnavailable):
            if isinstance(error, TooManyAttempts):
                await self._limited(door, error, origin)
            elif (told := _EVENTS.get(type(error))) is not None:
                await self._write(door, error, told, origin)

    async def _limited(self, door: str, error: TooManyAttempts, origin: RequestOrigin) -> None:
        for name, subject, window in error.reached:
            if await self._is_first(name, subject, window):
                if not error.user_id and error.find_user is not None:
                    error.about(await error.find_user())
                await self._write(door, error, _Told("user.limitReached", "limit", name), origin)

    async def _is_first(self, name: str, subject: bytes, window: int) -> bool:
        """Tell whether nobody has told of this limit yet in its window."""
        now = time.monotonic()
        if now - self._known.get((name, subject), -_REST) < _REST:
            return False
        key = bucket(subject).attempts + b"told:" + name.encode() + b":" + subject
        first = await self._redis.execute("SET", key, "", "NX", "PX", window)
        if not first:  # a flood does not ask Redis again and again
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[name, subject] = now
        return bool(first)

    async def _write(
        self, door: str, error: ServiceError, told: _Told, origin: RequestOrigin
    ) -> None:
        await _tell(
            self._redis,
            error.user_id or error.account or _NOBODY,
            origin,
            event=told.event,
            door=door,
            known="1" if error.user_id else "0",
            detail=told.detail,
            value=told.value,
        )
