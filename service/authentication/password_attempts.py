"""Limits on tries at passwords, the same at every call that takes one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.rate_limits import Counter, Limit, RateLimits
from service.sessions.origin import RequestOrigin, network


class PasswordAttempts:
    """Counts tries at the passwords of accounts, per account and per network."""

    def __init__(self, rate_limits: RateLimits, *, fair_to_networks: bool) -> None:
        """Count in `rate_limits`. `fair_to_networks`: each network has places of its own."""
        self._rate_limits = rate_limits
        self._fair_to_networks = fair_to_networks

    def place(self, origin: RequestOrigin) -> str:
        """Return the network whose places for hashes a call takes; '' where all share them."""
        return network(origin.address) if self._fair_to_networks else ""

    @asynccontextmanager
    async def limited(self, email_key: str, origin: RequestOrigin) -> AsyncIterator[None]:
        """Count a try before its password is looked at; keep it counted if that is wrong.

        `email_key`: what the account's address is compared by, whether there is one or not.

        Raises:
            TooManyAttempts: a limit is reached, so the password is not looked at.
        """
        account = self._rate_limits.subject("account", email_key)
        counters = self.of_network(self._rate_limits.limits.network, origin)
        async with (
            self._rate_limits.limited(account, self._of_account(account, origin)),
            self._rate_limits.limited(counters[0].subject if counters else b"", counters),
        ):
            yield

    def of_network(self, limit: Limit | None, origin: RequestOrigin) -> list[Counter]:
        """Make the counter of a network, or none where the limit is off.

        Unknown addresses are one network.
        """
        if limit is None:
            return []
        return [Counter(limit, self._rate_limits.subject("network", network(origin.address)))]

    def _of_account(self, account: bytes, origin: RequestOrigin) -> list[Counter]:
        from_here = self._rate_limits.subject(
            "account from network", account.hex(), network(origin.address)
        )
        limits = self._rate_limits.limits
        return [Counter(limits.account_network, from_here), Counter(limits.account, account)]
