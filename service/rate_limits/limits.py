"""What is limited: how often in how long, and of whom."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec

from service.errors import TooManyAttempts
from service.rates import Rate

_MS = timedelta(milliseconds=1)
_KEPT_IN_A_ROW = timedelta(days=365)
"""How long attempts in a row are remembered after the last of them."""


class Limit(msgspec.Struct, frozen=True):
    """At most `most` attempts in any `window`. `name` goes into the key.

    With `longest_wait` it is one on attempts in a row, however long ago: after `most` of them one
    waits for a `window`, and after each further one twice as long, up to that.
    """

    name: str
    most: int
    window: timedelta
    longest_wait: timedelta | None = None

    @classmethod
    def at(cls, name: str, rate: Rate) -> "Limit":
        """Make a limit of this rate."""
        return cls(name, rate.most, rate.window)

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """What the scripts ask of it: `waits.lua` says what each is."""
        kept = self.window if self.longest_wait is None else _KEPT_IN_A_ROW
        longest = self.longest_wait or timedelta(0)
        return self.most, self.window // _MS, longest // _MS, kept // _MS


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits in force. Those that are `None` are off."""

    account_network: Limit = Limit("account-network", 10, timedelta(minutes=15))
    account: Limit = Limit("account", 100, timedelta(hours=1))
    network: Limit | None = Limit("network", 300, timedelta(minutes=15))
    signups: Limit | None = Limit("signups", 600, timedelta(hours=1))
    resets: Limit | None = Limit("resets", 20, timedelta(minutes=15))
    codes: Limit = Limit("codes", 10, timedelta(minutes=15))
    codes_in_a_row: Limit = Limit("codes-in-a-row", 50, timedelta(minutes=15), timedelta(days=1))
    provider_starts: Limit | None = Limit("provider-starts", 300, timedelta(minutes=15))
    calls: Limit | None = Limit("calls", 60, timedelta(minutes=1))
    exports: Limit = Limit("exports", 1, timedelta(hours=1))
    api_keys: Limit | None = Limit("api-keys", 100, timedelta(minutes=15))


class Counter(msgspec.Struct, frozen=True):
    """A limit applied to one subject, given by the digest of what is counted."""

    limit: Limit
    subject: bytes

    @property
    def name(self) -> bytes:
        """What the name of its list ends with."""
        return self.limit.name.encode() + b":" + self.subject

    def refusal(self, wait: int) -> TooManyAttempts:
        """Make the error of a call that would not be counted before `wait` ms are over."""
        reached = [(self.limit.name, self.subject, self.limit.numbers[1])]
        return TooManyAttempts(-(-wait // 1000), [0], reached)


class Exemption(msgspec.Struct, frozen=True):
    """Who is neither counted under a counter nor refused by it.

    `applies` is asked only where that counter refuses, or has counted a wrong attempt.
    """

    counter: Counter
    applies: Callable[[], Awaitable[bool]]
