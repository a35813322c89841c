"""The limit on wrong codes: one for a user, over all calls that take a code."""

from contextlib import AbstractAsyncContextManager

from service.rate_limits import Counter, RateLimits


def limited_codes(rate_limits: RateLimits, user_id: bytes) -> AbstractAsyncContextManager[None]:
    """Count a try before its code is looked at; keep it counted if `WrongAnswer` is raised.

    Raises:
        TooManyAttempts: the limit is reached, so the code is not looked at.
    """
    subject = rate_limits.subject("codes", user_id.hex())
    return rate_limits.limited(user_id, [Counter(rate_limits.limits.codes, subject)])
