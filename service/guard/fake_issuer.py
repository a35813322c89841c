"""An issuer for the tests of apps: signs access tokens and ends sessions, without Redis or HTTP.

The verifier itself is the real one, with its signatures, expiry, cut-offs and answers; only where
its keys and its feed come from is another (`fake_run.py`).
"""

import os
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from ..redis.keys import BUCKETS, bucket_number
from .cut_offs import CutOff
from .fake_run import FakeRun
from .identity import Identity
from .options import login_methods, seconds
from .revocations import Shard
from .verifier import Verifier

_KID = "fake"
_ORDER = ("pwd", "fed", "otp", "mfa")
_last_opening = 0
"""Of all fake issuers, ms: a verifier that one has left remembers the cut-offs of another."""


class Login(msgspec.Struct, frozen=True):
    """A session that a fake issuer has opened."""

    identity: Identity
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What a request of this session carries."""
        return {"Authorization": f"Bearer {self.token}"}

    def __repr__(self) -> str:
        return f"Login({self.identity!r})"


class FakeIssuer:
    """Opens and ends sessions, of which the verifiers that it stands in for hear at once.

    It may be used from any thread, and from the event loop of a verifier.
    """

    def __init__(
        self,
        *,
        issuer: str = "https://issuer.test",
        audience: str = "openshow",
        access_ttl: timedelta | float = 900,
    ) -> None:
        """Begin without sessions. What it is called is that of the first verifier it stands in for.

        Raises:
            ValueError: `access_ttl` is no time.
        """
        self.issuer, self.audience = issuer, audience
        self._access_ttl = seconds("access_ttl", access_ttl)
        self._key = generate_private_key(SECP256R1())
        self._told: list[tuple[int, Callable[[Shard], None]]] = []
        self._ended: set[bytes] = set()
        self._runs: list[FakeRun] = []
        self._verifiers: list[Verifier] = []
        self.feed_is_lost = False

    def verifier(self, **options: Any) -> Verifier:
        """Make a verifier for this issuer. `options` are `Verifier`'s, as `mode`."""
        urls = {"jwks_url": "https://issuer.test/jwks.json", "redis_url": "redis://redis.test"}
        named: dict[str, Any] = {
            "issuer": self.issuer,
            "audience": self.audience,
            "access_ttl": self._access_ttl,
        }
        return self.stand_in(Verifier(**urls | named | options))

    def stand_in(self, verifier: Verifier) -> Verifier:
        """Give a verifier, as an app has it, its keys and its feed until `close`. Return it.

        Raises:
            RuntimeError: it runs already.
            ValueError: it is another issuer's or audience's than one before.
        """
        options = verifier.options
        if self._verifiers and (options.issuer, options.audience) != (self.issuer, self.audience):
            raise ValueError("a FakeIssuer has one issuer and audience: make one for each")
        verifier.draw_on(lambda *given: FakeRun(self._key.public_key(), _KID, self, *given))
        self.issuer, self.audience = options.issuer, options.audience
        self._access_ttl = options.access_ttl
        self._verifiers.append(verifier)
        return verifier

    def log_in(
        self,
        user_id: str = "",
        *,
        methods: Iterable[str] = ("pwd",),
        age: timedelta | float = 0,
        expires_in: timedelta | float | None = None,
    ) -> Login:
        """Open a session, of somebody new unless it is said of whom (32 hex digits).

        `methods`: what the login has used; a code (`otp`) brings `mfa` along. `age`: how long ago
        it was. `expires_in`: how long its token is good, which may be negative.

        Raises:
            ValueError: an argument, which it names, cannot be used.
        """
        global _last_opening
        now = time.time()
        _last_opening = opened_at = max(round(now * 1000), _last_opening + 1)
        lives = timedelta(seconds=self._access_ttl) if expires_in is None else expires_in
        lives = lives.total_seconds() if isinstance(lives, timedelta) else lives
        identity = fake_identity(user_id, methods=methods, age=age, expires_in=lives)
        exp = identity.expires_at
        claims = {
            "iss": self.issuer, "aud": self.audience, "sub": identity.user_id,
            "exp": exp, "iat": max(min(int(now), exp), exp - int(self._access_ttl)),
            "jti": os.urandom(8).hex(), "sid": identity.session_id,
            "auth_time": identity.auth_time, "amr": list(identity.methods),
            "client_id": self.audience, "sat": opened_at,
        }  # fmt: skip
        header = {"typ": "at+jwt", "kid": _KID}
        return Login(identity, jwt.encode(claims, self._key, "ES256", header))

    def log_out(self, login: Login) -> None:
        """End a session."""
        session_id = bytes.fromhex(login.identity.session_id)
        self._tell(login.identity.user_id, lambda shard: shard.add(session_id))

    def log_out_everywhere(self, user_id: str, *, keep: Login | None = None) -> None:
        """End all sessions of a user that were opened so far, but for one that may be kept."""
        kept = [bytes.fromhex(keep.identity.session_id)] if keep else []
        cut_off, raw = CutOff.keeping(_last_opening, kept), bytes.fromhex(user_id)
        self._tell(user_id, lambda shard: shard.cut_off(raw, cut_off))

    def log_out_everybody(self) -> None:
        """End all sessions that were opened so far."""
        at = _last_opening
        for bucket in range(BUCKETS):
            self._tell(bucket, lambda shard: shard.cut_off_everybody(at))

    def lose_feed(self) -> None:
        """Let the feed be lost: what follows is what the verifier does by `when_lost`."""
        self.feed_is_lost = True
        self._let_all(FakeRun.confirm)

    def restore_feed(self) -> None:
        """Let the feed be whole again."""
        self.feed_is_lost = False
        self._let_all(FakeRun.confirm)

    def close(self) -> None:
        """Leave the verifiers as they were before."""
        for verifier in self._verifiers:
            verifier.draw_on(None)
        self._verifiers.clear()
        self._runs.clear()

    def join(self, run: FakeRun) -> None:
        """Tell a run that begins all that has ended, and from now on what ends."""
        self._runs.append(run)
        for bucket, end in self._told:
            end(run.shards[bucket])

    def leave(self, run: FakeRun) -> None:
        """Tell a run nothing more."""
        if run in self._runs:
            self._runs.remove(run)

    def _tell(self, whose: str | int, end: Callable[[Shard], None]) -> None:
        bucket = whose if isinstance(whose, int) else bucket_number(bytes.fromhex(whose))
        self._told.append((bucket, end))
        self._let_all(lambda run: end(run.shards[bucket]))

    def _let_all(self, do: Callable[[FakeRun], None]) -> None:
        for run in list(self._runs):
            run.let(do)


def fake_identity(
    user_id: str = "",
    *,
    methods: Iterable[str] = ("pwd",),
    age: timedelta | float = 0,
    expires_in: float = 900,
) -> Identity:
    """Make an identity, of somebody new unless it is said of whom (32 hex digits).

    Raises:
        ValueError: an argument, which it names, cannot be used.
    """
    if user_id and (len(user_id) != 32 or bytes.fromhex(user_id).hex() != user_id):
        raise ValueError("user_id must be 32 hex digits, in lower case")
    used = login_methods(methods)
    if "otp" in used:
        used |= {"mfa"}
    return Identity(
        user_id=user_id or os.urandom(16).hex(),
        session_id=os.urandom(12).hex(),
        auth_time=int(time.time() - seconds("age", age, zero=True)),
        methods=tuple(sorted(used, key=_ORDER.index)),
        expires_at=int(time.time() + expires_in),
    )
