"""Which resource server the access tokens of a session are for (RFC 8707).

Most sessions have the default audience, and nothing is kept of it. Of a session with another one,
its record says so in a flag (`record.py`), and its id says which:

    offset  length  field
    0       8       random
    8       4       the beginning of the SHA-256 of these 8 bytes and the audience

So the audience is known from the refresh token alone, costs no key of its own, does not depend on
the order of a setting, and outlives rotations by versions of this program that do not know it: they
copy the flags, and never change an id. The flag is what tells these ids from wholly random ones.
"""

import hashlib
import os
from collections.abc import Sequence

from service.errors import InvalidTarget
from service.sessions.record import Session
from service.sessions.refresh_tokens import SESSION_ID

_RANDOM = 8


class Audiences:
    """The audiences that access tokens may have. The first is the default."""

    def __init__(self, default: str, others: Sequence[str] = ()) -> None:
        self.default = default
        self.all = tuple(dict.fromkeys((default, *others)))

    def check(self, resource: str | None) -> None:
        """Refuse a resource that somebody asks for and that is no audience here.

        Raises:
            InvalidTarget
        """
        if resource is not None and resource not in self.all:
            raise InvalidTarget

    def mint_session_id(self, audience: str | None) -> bytes:
        """Mint the id of a session that is to be opened with this audience; `None`: the default.

        Raises:
            InvalidTarget: it is no audience here.
        """
        self.check(audience)
        if audience is None or audience == self.default:
            return os.urandom(SESSION_ID)
        while True:
            random = os.urandom(_RANDOM)
            session_id = random + _tag(random, audience)
            if self.named_by(session_id) == audience:  # and by no other's tag as well
                return session_id

    def named_by(self, session_id: bytes) -> str | None:
        """Return the audience that an id names, if it names one: exactly one of those of now."""
        random, tag = session_id[:_RANDOM], session_id[_RANDOM:]
        # A session keeps its audience where that has become the default since.
        found = [name for name in self.all if _tag(random, name) == tag]
        return found[0] if len(found) == 1 else None

    def of(self, session: Session) -> str:
        """Return the audience of a session.

        Raises:
            InvalidTarget: it has one that is none any more. Tokens for another one must not take
                its place: whoever the client sends them to could use them there.
        """
        if not session.has_audience:
            return self.default
        audience = self.named_by(session.id)
        if audience is None:
            raise InvalidTarget
        return audience


def _tag(random: bytes, audience: str) -> bytes:
    digest = hashlib.sha256(random + audience.encode("utf-8", "surrogatepass")).digest()
    return digest[: SESSION_ID - _RANDOM]
