"""Limits on tries at passwords, the same at every call that takes one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.accounts.users import Users
from service.errors import TooManyAttempts, WrongAnswer
from service.rate_limits import Counter, Exemption, Limit, RateLimits
from service.redis.client import RedisClient
from service.sessions.networks import lives_in_network
from service.sessions.origin import RequestOrigin, network


class PasswordAttempts:
    """Counts tries at the passwords of accounts, per account and per network."""

    def __init__(
        self, redis: RedisClient, users: Users, rate_limits: RateLimits, *, fair_to_networks: bool
    ) -> None:
        """Count in `rate_limits`. `fair_to_networks`: each network has places of its own."""
        self._redis = redis
        self._users = users
        self._rate_limits = rate_limits
        self._fair_to_networks = fair_to_networks

    def place(self, origin: RequestOrigin) -> str:
        """Return the network whose places for hashes a call takes; '' where all share them."""
        return network(origin.address) if self._fair_to_networks else ""

    @asynccontextmanager
    async def limited(self, email_key: str, origin: RequestOrigin) -> AsyncIterator[None]:
        """Count a try before its password is looked at; keep it counted if that is wrong.

        `email_key`: what the account's address is compared by, whether there is one or not. From a
        network in which a session of the account lives nothing counts for what it may be tried from
        anywhere: so strangers do not shut it out.

        Raises:
            TooManyAttempts: a limit is reached, so the password is not looked at.
        """
        account = account_subject(self._rate_limits, email_key)

        async def find_user() -> bytes:
            credentials = await self._users.find_by_email(email_key)
            return credentials.user.id if credentials else b""

        from_here, anywhere = self._of_account(account, origin)
        counters = self._of_network(self._rate_limits.limits.network, origin)

        async def is_known_here() -> bool:
            # Of nobody Redis is asked, too, so that the time does not tell who has an account.
            return await lives_in_network(self._redis, await find_user() or account, origin)

        try:
            async with (
                self._rate_limits.limited(
                    account,
                    [from_here, anywhere],
                    noted=noted_of(account, from_here.limit),
                    exempt=Exemption(anywhere, is_known_here),
                ),
                self._rate_limits.limited(counters[0].subject if counters else b"", counters),
            ):
                yield
        except (WrongAnswer, TooManyAttempts) as error:
            if isinstance(error, TooManyAttempts):
                error.find_user = find_user
            error.about(account=account)
            raise

    async def count_network(self, limit: Limit | None, origin: RequestOrigin) -> None:
        """Count an attempt from a network, where that is limited. Unknown addresses are one.

        Raises:
            TooManyAttempts
        """
        for counter in self._of_network(limit, origin):
            await self._rate_limits.count(counter.subject, [counter])

    def _of_network(self, limit: Limit | None, origin: RequestOrigin) -> list[Counter]:
        if limit is None:
            return []
        return [Counter(limit, self._rate_limits.subject("network", network(origin.address)))]

    def _of_account(self, account: bytes, origin: RequestOrigin) -> tuple[Counter, Counter]:
        from_here = self._rate_limits.subject(
            "account from network", account.hex(), network(origin.address)
        )
        limits = self._rate_limits.limits
        return Counter(limits.account_network, from_here), Counter(limits.account, account)


def account_subject(rate_limits: RateLimits, email_key: str) -> bytes:
    """Return what the passwords of an account are counted under; it is their home, too."""
    return rate_limits.subject("account", email_key)


def noted_of(account: bytes, limit: Limit) -> Counter:
    """Return where it is noted which networks have reached their limit of an account, if any."""
    return Counter(Limit("account-noted", limit.most, limit.window), account)
