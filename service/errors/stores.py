"""What can go wrong with Redis, the user store and the key service."""

from typing import Literal

from service.errors.root import ServiceError


class StoreUnavailable(ServiceError):
    """Redis or the user store cannot be reached or does not answer in time."""


Refusal = Literal[
    "user",
    "database",
    "read-only",
    "full",
    "disk",
    "replicas",
    "busy",
    "cluster",
    "foreign",
    "rollback",
    "error",
]
"""Why Redis refuses: our user may not, there is no such database, it is a replica, its memory is
full, it cannot save, it has too few replicas, it does something else, nobody has the slot, it is
another service's, it has gone back in time, or anything else."""


class StoreRefuses(StoreUnavailable):
    """Redis answers, and refuses. The message says why, for operators, and shows no secret."""

    def __init__(self, refusal: Refusal, message: str, *, permanent: bool = False) -> None:
        """Say why. `permanent`: it will not pass by itself; somebody must change a setting."""
        super().__init__(message)
        self.refusal = refusal
        self.permanent = permanent


class KeyServiceUnavailable(StoreUnavailable):
    """The key service does not answer or refuses, so keys are not open. The message says why, for
    the operator, and shows no secret."""


class KeyServiceRefused(KeyServiceUnavailable):
    """The key service refuses and will go on to, until an operator changes something there."""


class RevocationUnconfirmed(StoreUnavailable):
    """Redis has carried the change out, but too few replicas have acknowledged it in time."""

    def __init__(self) -> None:
        super().__init__("too few replicas have acknowledged the change")


class UnknownLayout(StoreUnavailable):
    """What is stored there was written by another version of this program: nothing is known of it,
    and nothing was changed. `what` it was to be, for the log. Or `whose`: somebody else's."""

    def __init__(self, what: str, whose: str = "a version that this program does not know") -> None:
        super().__init__(f"{what} is of {whose}")


class ClockWrong(StoreUnavailable):
    """This process' clock is so far from Redis' that what it signs would be over already, or that
    it cannot tell which codes are right. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__("the clock of this process is too far from that of Redis")


class AccountChanged(StoreUnavailable):
    """The user row has changed, or may have, since it was read; nothing was changed.

    `noted` is what Redis has of its version.
    """

    def __init__(self, noted: bytes) -> None:
        super().__init__("the account is being changed")
        self.noted = noted
