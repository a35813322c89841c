"""The limits of one account: which are in force, and an end to all of them."""

from collections.abc import Sequence

import msgspec

from service.accounts import emails
from service.accounts.user_rows import User
from service.authentication.password_attempts import account_subject, noted_of
from service.mail.outbox import sent_to
from service.rate_limits import Counter, RateLimits
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions.refresh_tokens import SESSION_ID
from service.twofactor.limits import CodeCounters

_MAILS = ("reset", "verify", "change", "account_exists")
_CALLS = ("enable", "reauthenticate")


class LimitInForce(msgspec.Struct, frozen=True):
    """A limit that an account has reached, named as its setting, and how long it lasts, seconds."""

    limit: str
    retry_after: int


class AccountLimits:
    """Shows and forgives the limits of an account. Both may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient, rate_limits: RateLimits) -> None:
        self._redis = redis
        self._rate_limits = rate_limits

    async def in_force(self, user: User) -> Sequence[LimitInForce]:
        """List the limits that the account has reached, but for those on calls, which are short.

        `account_network` stands once for each network that has reached it.
        """
        limits = self._rate_limits.limits
        account, anywhere, noted = self._of_passwords(user)
        subjects = await self._rate_limits.noted_subjects(account, noted)
        networks = [Counter(limits.account_network, subject) for subject in subjects]
        others = self._of_user(user)
        waits = [
            *await self._rate_limits.waits(account, [*networks, anywhere], noted),
            *await self._rate_limits.waits(user.id, [*others.values()]),
        ]
        names = [*["account_network"] * len(networks), "account", *others]
        return [
            LimitInForce(name, wait) for name, wait in zip(names, waits, strict=True) if wait > 0
        ]

    async def forgive(self, user: User) -> None:
        """Forget all attempts of the account, and the calls that were counted of it."""
        calls = [self._rate_limits.of_calls(user.id, call) for call in _CALLS]
        counters = [*self._of_user(user).values(), *filter(None, calls)]
        await self._rate_limits.forgive_account(*self._of_passwords(user))
        await self._rate_limits.forgive(user.id, counters)
        await self._forgive_calls_in_scripts(user.id)

    async def _forgive_calls_in_scripts(self, user_id: bytes) -> None:
        """Forget the calls that `sessions/rate_limit.lua` has counted, and the mails."""
        names = bucket(user_id)
        index = await self._redis.execute("HGETALL", names.index + user_id)
        session_ids = [name for name in index[::2] if len(name) == SESSION_ID]
        rotations = [names.attempts + b"refresh:" + session_id for session_id in session_ids]
        everywhere = names.attempts + b"logout-all:" + user_id.hex().encode()
        mails = [names.attempts + sent_to(user_id, each) for each in _MAILS]
        await self._redis.change("DEL", everywhere, *mails, *rotations)

    def _of_user(self, user: User) -> dict[str, Counter]:
        exports = self._rate_limits.of_user(self._rate_limits.limits.exports, user.id)
        return CodeCounters.of(self._rate_limits, user.id).named() | {"exports": exports}

    def _of_passwords(self, user: User) -> tuple[bytes, Counter, Counter]:
        """Return the account's home, its counter over all networks, and where those are noted."""
        limits = self._rate_limits.limits
        account = account_subject(self._rate_limits, emails.lookup_key(user.email))
        return account, Counter(limits.account, account), noted_of(account, limits.account_network)
