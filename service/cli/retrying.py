"""What commands say that go on until they are ended, when a store is away."""

import sys

from service.errors import StoreUnavailable
from service.redis.refusals import CommandRefused


def tell_of_retry(error: StoreUnavailable) -> None:
    """Say what went wrong; raise it where it will not pass by itself."""
    if isinstance(error, CommandRefused) and error.refusal == "user":
        raise error
    sys.stderr.write(f"openshow-auth: {error}; trying again\n")
