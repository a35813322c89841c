"""Makes records of tokens that were not checked before: reads them, and looks for their keys."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Protocol

from ..access_tokens.reader import AccessTokenReader, Claims, Keys, UnknownKey
from ..redis.keys import bucket_number
from .errors import GuardUnavailable, TokenRefused
from .options import Options
from .rate_limited_log import RateLimitedLog, shown
from .revocations import Shard
from .verified_token import VerifiedToken


class KeySource(Protocol):
    """Where keys come from that are not known yet."""

    @property
    def sure(self) -> bool:
        """Whether a key that is not known is none of the issuer's."""

    async def look_again(self) -> None:
        """Ask for the issuer's keys, unless that was done a moment ago."""


class TokenReading:
    """Reads tokens of one issuer, for one audience."""

    def __init__(
        self, options: Options, life: float, shards: Sequence[Shard], log: RateLimitedLog
    ) -> None:
        """Know no keys yet. `life`: seconds for which the end of a session matters."""
        self._options = options
        self._life = life
        self._shards = shards
        self._log = log
        self._reader = AccessTokenReader(
            {},
            issuer=options.issuer,
            audiences=(options.audience,),
            on_mismatch=self._tell_mismatch,
        )

    def use(self, keys: Keys) -> None:
        """Accept signatures of these keys from now on, and of no others."""
        self._reader.use(keys)

    async def read(self, token: str, source: Callable[[], KeySource]) -> VerifiedToken:
        """Read a token. Look for its key at the issuer if it is not known.

        Raises:
            TokenRefused: it does not count, or its session has ended.
            GuardUnavailable: the issuer could not be asked for its key; what `source` raises.
        """
        return self._verified(token, await self._read(token, source))

    async def _read(self, token: str, source: Callable[[], KeySource]) -> Claims:
        clock = self._options.clock
        try:
            return self._reader.read(token, clock())
        except UnknownKey:
            keys = source()
            await keys.look_again()
        try:
            return self._reader.read(token, clock())
        except UnknownKey:
            if keys.sure:
                raise
            raise GuardUnavailable(ceil(self._options.jwks_floor) or 1) from None

    def _verified(self, token: str, claims: Claims) -> VerifiedToken:
        """Make what is kept of a verified token."""
        longest = self._options.access_ttl
        if claims.exp - claims.iat > longest:
            self._log.warning("access tokens live longer than access_ttl: they are refused")
            raise TokenRefused
        number = bucket_number(bytes.fromhex(claims.sub))
        now = self._options.clock()
        if claims.exp - now > self._life:
            # Once it comes near enough, the end of its session must still be known.
            for id_ in (claims.sid, claims.sub):
                self._shards[number].keep(bytes.fromhex(id_), claims.exp, now)
            self._log.warning(
                "an access token expires in %d s, though access_ttl is %d s: the issuer's clock is "
                "ahead of this one by more than a minute; it is refused",
                claims.exp - now,
                longest,
            )
            raise TokenRefused
        shard = self._shards[number]
        verified = VerifiedToken.of(token, claims, number, shard)
        if shard.has_ended(verified.user_id, verified.session_id, verified.opened_at):
            raise TokenRefused
        return verified

    def _tell_mismatch(self, claim: str, theirs: str, ours: str) -> None:
        self._log.warning(
            f"an access token of these keys has the {claim} %s, this guard's is %s: it is refused",
            shown(theirs),
            shown(ours),
        )
