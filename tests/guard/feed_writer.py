"""Writes entries of the feed as a service does, and tokens of sessions that exist nowhere."""

import os
import time
from typing import Any

import redis
from tools.testbed.parts import sign

from service.redis.keys import bucket
from tests.guard.guards import ISSUER

USER, OTHER = bytes(16), b"\1" * 16
"""In different buckets."""
NEIGHBOUR = bytes(15) + b"\1"
"""In the bucket of `USER`."""

AT = 1_800_000_000_000
"""A time of a cut-off, ms. It is compared with `sat` only, so any will do."""


class FeedWriter:
    """Appends entries to the feeds of a Redis, each with the next number of its bucket."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def add(self, user_id: bytes, *fields: bytes | str | int, id_: str = "*") -> bytes:
        """Append an entry with these names and values in turn to the user's bucket."""
        names = bucket(user_id)
        number = self._client.incr(names.revocations)
        return self._client.execute_command("XADD", names.revoked, id_, "n", number, *fields)

    def end(self, user_id: bytes, session_id: bytes) -> bytes:
        return self.add(user_id, "s", session_id)

    def cut_off(self, user_id: bytes, at: int = AT, *kept: bytes) -> bytes:
        return self.add(user_id, "u", user_id, "t", at, *(("k", b"".join(kept)) if kept else ()))

    def cut_off_everybody(self, user_id: bytes, at: int = AT) -> bytes:
        """Cut off all sessions in the bucket of this user."""
        return self.add(user_id, "g", 1, "t", at)


def new_token(
    user_id: bytes = USER, opened_at: int | None = AT, session_id: bytes = b"", **more: Any
) -> str:
    """Sign a token that is good for a quarter of an hour. `opened_at` None: without `sat`."""
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": "audience", "sub": user_id.hex(), "exp": now + 900, "iat": now,
        "jti": os.urandom(8).hex(), "sid": (session_id or os.urandom(12)).hex(), "auth_time": now,
        "amr": ["pwd"], "client_id": "audience",
    }  # fmt: skip
    return sign(claims | ({} if opened_at is None else {"sat": opened_at}) | more)
