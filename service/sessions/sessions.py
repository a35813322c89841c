"""The use cases of a session. Here: open. Refresh: rotation.py; what callers do with theirs:
own_sessions.py.

One script, one round trip each.
"""

import struct
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from service.errors import AccountChanged, ClockWrong
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions import scripts
from service.sessions.access_tokens import AccessTokens
from service.sessions.cut_offs import FeedKinds
from service.sessions.origin import RequestOrigin
from service.sessions.owner import Owners, unknown_owner
from service.sessions.record import FLAG_AUDIENCE, Authentication, read
from service.sessions.refresh_tokens import RefreshToken, RefreshTokens
from service.sessions.rotation import Lives, SessionRotation
from service.sessions.token_pair import Opened, TokenPair

__all__ = ["Lives", "OpeningEvent", "Sessions"]

OpeningEvent = Literal["user.signedUp", "user.loggedIn", "user.passwordChanged"]

_MOST_AT_ONCE = 255
"""Sessions of a user that `open_many.lua` is told of."""
_LONGEST_LIFE = 2**40 - 1
"""What fits into a record, ms."""


class Sessions(SessionRotation):
    """Opens and refreshes sessions. Any method may raise `StoreUnavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        refresh_tokens: RefreshTokens,
        access_tokens: AccessTokens,
        lives: Lives,
        most_per_user: int,
        owners: Owners = unknown_owner,
        feed_kinds: FeedKinds = 2,
    ) -> None:
        super().__init__(redis, refresh_tokens, access_tokens, lives, owners, feed_kinds)
        self._most_per_user = most_per_user

    async def open(
        self,
        user_id: bytes,
        authentication: Authentication,
        event: OpeningEvent,
        origin: RequestOrigin,
        user_version: int | None = None,
        *,
        noted: bytes = b"",
        audience: str | None = None,
        session_id: bytes | None = None,
    ) -> TokenPair:
        """Open a session for a person who has just proved who they are.

        `user_version` is that of the user row that was read for it; `None`: of an account that is
        as new. `noted`: what an `AccountChanged` before that row was read has told. If a change is
        under way by that, whoever opens looks afterwards whether it was written, and withdraws.
        `audience`: of its access tokens; `None`: the default one. `session_id`: the id that the
        session gets, where it must be known before it is opened: minted for the same audience.

        Raises:
            InvalidTarget: there is no such audience.
            AccountChanged: the row may have changed since it was read.
            ClockWrong: nothing that this process signs would be valid.
        """
        return self.sign(
            await self.open_unsigned(
                user_id,
                authentication,
                event,
                origin,
                user_version,
                noted=noted,
                audience=audience,
                session_id=session_id,
            )
        )

    async def open_unsigned(
        self,
        user_id: bytes,
        authentication: Authentication,
        event: OpeningEvent,
        origin: RequestOrigin,
        user_version: int | None = None,
        *,
        noted: bytes = b"",
        audience: str | None = None,
        session_id: bytes | None = None,
    ) -> Opened:
        """Open a session as `open` does, unsigned: signing costs as much as all the rest here."""
        token, named = self._opening(user_id, authentication, event, origin, audience, session_id)
        named |= {"read": "" if user_version is None else user_version, "noted": noted}
        return _opened(token, await scripts.open_session(self._redis, user_id, origin, **named))

    async def open_many(
        self,
        people: Sequence[tuple[bytes, RequestOrigin]],
        authentication: Authentication,
        event: OpeningEvent,
    ) -> list[Opened]:
        """Open sessions for people of one bucket as `open_unsigned` does, in a round trip or two.

        For tools: all other requests wait for as long as all of these take.
        """
        places: dict[bytes, list[int]] = {}
        for place, (user_id, _) in enumerate(people):
            places.setdefault(user_id, []).append(place)
        mint, mint_id = self._refresh_tokens.mint, self.audiences.mint_session_id
        tokens = [mint(user_id, mint_id(None), 0) for user_id, _ in people]
        opened = await self._open_usual(people, places, tokens, authentication, event)
        left = [place for place in range(len(people)) if place not in opened]
        calls = [
            (*people[place], self._told(tokens[place], authentication, people[place][1], event))
            for place in left
        ]
        outcomes = await scripts.open_session.each(self._redis, calls) if calls else []
        for place, outcome in zip(left, outcomes, strict=True):
            opened[place] = _opened(tokens[place], outcome)
        return [opened[place] for place in range(len(people))]

    async def _open_usual(
        self,
        people: Sequence[tuple[bytes, RequestOrigin]],
        places: Mapping[bytes, Sequence[int]],
        tokens: Sequence[RefreshToken],
        authentication: Authentication,
        event: OpeningEvent,
    ) -> dict[int, Opened]:
        """Open those of the first users of whom nothing unusual is known; by place in `people`."""
        proof, flags = authentication.packed
        if not people or flags or any(len(several) > _MOST_AT_ONCE for several in places.values()):
            return {}
        names, clock = bucket(people[0][0]), self._access_tokens.window()
        life = min(self._absolute, _LONGEST_LIFE)
        numbers = struct.pack(">6q", *clock, self._idle, life, self._most_per_user, proof)
        arguments = [names.tag, event, numbers]
        devices: dict[int, bytes] = {}
        for user_id, several in places.items():
            arguments.append(user_id.hex().encode() + bytes((len(several),)))
            for place in several:
                origin = people[place][1]
                devices[place] = origin.packed()
                arguments.append(_packed(tokens[place], origin, devices[place]))
        outcome = await scripts.open_many(
            self._redis,
            keys=[names.events, names.before, *(names.index + user_id for user_id in places)],
            arguments=arguments,
        )
        if outcome == b"clock":
            raise ClockWrong
        done, head, expires_at = outcome
        return {
            place: Opened(tokens[place], head + devices[place], expires_at)
            for several in islice(places.values(), done)
            for place in several
        }

    def _opening(
        self,
        user_id: bytes,
        authentication: Authentication,
        event: OpeningEvent,
        origin: RequestOrigin,
        audience: str | None = None,
        session_id: bytes | None = None,
    ) -> tuple[RefreshToken, dict[str, Any]]:
        """Mint the token of a new session, and list what the script is told about it."""
        session_id = session_id or self.audiences.mint_session_id(audience)
        token = self._refresh_tokens.mint(user_id, session_id, 0)
        return token, self._told(token, authentication, origin, event, audience)

    def _told(
        self,
        token: RefreshToken,
        authentication: Authentication,
        origin: RequestOrigin,
        event: OpeningEvent,
        audience: str | None = None,
    ) -> dict[str, Any]:
        proof, flags = authentication.packed
        if audience is not None and audience != self.audiences.default:
            flags |= FLAG_AUDIENCE
        clock, valid_until = self._access_tokens.window()
        return {
            "session_id": token.session_id,
            "session_hex": token.session_id.hex(),
            "token_digest": token.digest,
            "authentication": bytes((proof,)),
            "proof_flags": flags,
            "device": origin.packed(),
            "idle_life": self._idle,
            "absolute_life": self._absolute,
            "most": self._most_per_user,
            "event": event,
            "read": "",
            "noted": b"",
            "clock": clock,
            "valid_until": valid_until,
            "feed_life": self._feed_life,
        }

    async def withdraw(self, user_id: bytes, tokens: TokenPair, origin: RequestOrigin) -> None:
        """End a session that was opened a moment ago, and whose tokens nobody has got."""
        await self.end(user_id, tokens.session_id, origin)

    def sign(self, opened: Opened) -> TokenPair:
        """Sign the tokens that a client gets for an opened session."""
        token = opened.token
        session = read(token.user_id, token.session_id, opened.record, opened.expires_at)
        return self._signed(token, session)


def _packed(token: RefreshToken, origin: RequestOrigin, device: bytes) -> bytes:
    """Pack what `open_many.lua` is told of a session."""
    ip, request = origin.address_text.encode(), origin.request_id.encode()
    return b"".join((
        token.session_id, token.digest, token.session_id.hex().encode(),
        bytes((len(ip),)), ip, len(request).to_bytes(2), request, device,
    ))  # fmt: skip


def _opened(token: RefreshToken, outcome: Any) -> Opened:
    match outcome:
        case [b"opened", *answer]:
            return Opened(token, *answer)
        case [b"changed", noted]:
            raise AccountChanged(noted)
        case _:
            raise ClockWrong
