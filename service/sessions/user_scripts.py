"""Scripts that change a user's sessions or second factor, and write an event about it.

All take the same keys and arguments first, those of `prelude.lua`, which stands before each, but
for the usual way of a refresh and an enrolment (`rotate.lua`, `twofactor/begin.lua`).
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec

from service.opaque_tokens import DIGEST
from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.redis.keys import ATTEMPTS, BEFORE, CLOCK_SKEW, HANDOFF, PARTIES, SESSION, bucket
from service.redis.scripts import Constants, Declared, Source, texts
from service.sessions import row_version
from service.sessions.origin import RequestOrigin
from service.sessions.record import FULL_DEVICE, PLAIN_DEVICE, PROOF
from service.sessions.refresh_tokens import SEALED_SUCCESSOR, SESSION_ID, USER_ID

P = ParamSpec("P")

_KEYS, _FEED = ("index", "events"), ("revoked", "revocations")
_ARGUMENTS = ("tag", "user", "ip", "request")

CONSTANTS: Constants = {
    "SESSION": SESSION,
    "HANDOFF": HANDOFF,
    "ATTEMPTS": ATTEMPTS,
    "BEFORE": BEFORE,
    "PARTIES": PARTIES,
    "PROOF": PROOF,
    "CLOCK_SKEW": CLOCK_SKEW // timedelta(milliseconds=1),
    "SESSION_ID_BYTES": SESSION_ID,
    "USER_ID_BYTES": USER_ID,
    "HANDOFF_BYTES": DIGEST + SEALED_SUCCESSOR,
    "PLAIN": ">BI4I6I5I5B",
    "FULL": ">BI4I6I5I5BI5I7B",
    "PLAIN_DEVICE": PLAIN_DEVICE + 1,  # Lua counts from one
    "FULL_DEVICE": FULL_DEVICE + 1,
    "AT_ONCE": 100,  # keys or fields of a command, of which `unpack` puts as many on the stack
    **row_version.CONSTANTS,
}
"""What all scripts of sessions and second factor may use."""


class UserScript(Generic[P]):
    """A script that is called with user and origin, then with keys and arguments of its own."""

    def __init__(
        self,
        function: Callable[P, Any],
        *paths: str,
        feed: bool,
        constants: Constants,
        text: str = "",
    ) -> None:
        """Read the keys and arguments that the function declares.

        `feed`: the script ends sessions, so it has the keys of the feed, too.

        Raises:
            ValueError: the names in it are not those that are declared.
        """
        self._feed = feed
        self._declared = Declared(function)
        self._source = Source(
            self._declared,
            texts(paths) | ({function.__name__: text} if text else {}),
            {**CONSTANTS, **constants},
            acknowledged=True,
            context=(_KEYS + _FEED if feed else _KEYS, _ARGUMENTS),
        )
        self.__doc__ = function.__doc__

    def __call__(
        self,
        redis: RedisClient,
        user_id: bytes,
        origin: RequestOrigin,
        *_: P.args,
        **named: P.kwargs,
    ) -> Coroutine[Any, Any, Any]:
        """Run it once. Raises as `Source.run`."""
        return self._source.run(redis, *self._call(user_id, origin, named))

    async def each(
        self, redis: RedisClient, calls: Sequence[tuple[bytes, RequestOrigin, Mapping[str, Any]]]
    ) -> list[Any]:
        """Run it for several users of one bucket, in one step. Raises as `Source.run_each`."""
        return await self._source.run_each(redis, [self._call(*call) for call in calls])

    def _call(
        self, user_id: bytes, origin: RequestOrigin, named: Mapping[str, Any]
    ) -> tuple[Sequence[bytes], Sequence[Argument]]:
        names, declared = bucket(user_id), self._declared
        feed = (names.revoked, names.revocations) if self._feed else ()
        return (
            (names.index + user_id, names.events, *feed, *declared.keys_of(named)),
            (
                names.tag,
                user_id.hex(),
                origin.address_text,
                origin.request_id,
                *declared.arguments_of(named),
            ),
        )


def user_script(
    *paths: str,
    text: str = "",
    feed: bool = False,
    alone: bool = False,
    constants: Constants | None = None,
) -> Callable[[Callable[P, Any]], UserScript[P]]:
    """Declare such a script in files of `service/`, or of this `text`, run after `prelude.lua`.

    `feed`: after `feed.lua` and `finish.lua`, too. `alone`: after neither.
    """
    before: list[str] = [] if alone else ["sessions/prelude.lua"]
    if feed and not alone:
        before += ["sessions/feed.lua", "sessions/finish.lua"]

    def declare(function: Callable[P, Any]) -> UserScript[P]:
        return UserScript(
            function, *before, *paths, feed=feed, constants=constants or {}, text=text
        )

    return declare
