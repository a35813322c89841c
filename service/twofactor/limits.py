"""The limit on wrong codes: one for a user, over all doors that take a code."""

from contextlib import AbstractAsyncContextManager

from service.attempts import Attempts, Counter


def guarding_codes(attempts: Attempts, user_id: bytes) -> AbstractAsyncContextManager[None]:
    """Count a try before its code is looked at; keep it counted if `WrongAnswer` is raised.

    Raises:
        TooManyAttempts: the limit is reached, so the code is not looked at.
    """
    subject = attempts.subject("codes", user_id.hex())
    return attempts.guarding(user_id, [Counter(attempts.limits.codes, subject)])
