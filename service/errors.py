"""What can go wrong, in the words of the domain. Nothing here knows HTTP; `web/errors.py` maps it.

ServiceError
├── StartupError                the start stops; the message is the one line the operator reads
│   └── SettingsError           a SERVICE_* variable is wrong
├── KeyRefused                  a change of keys would do harm, or there is nothing to change
├── InvalidField                a field of the request cannot be used; names it, never its value
├── MissingRefreshToken         logout without the token to revoke
├── WeakPassword                too short, or among the most common
├── EmailTaken
├── WrongAnswer                 counts against the limits on attempts
│   ├── InvalidCredentials      unknown e-mail or wrong password: one answer
│   ├── InvalidCode             wrong, odd or used TOTP or recovery code
│   └── ChallengeFailed         the same at login
├── ChallengeNotFound           unknown, malformed, expired or used: one answer
├── AlreadyEnabled              the second factor is on
├── NotEnabled                  the second factor is off
├── EnrollmentNotFound          unknown, replaced, expired or another's: one answer
├── Unauthenticated             no credential where one is needed
│   └── InvalidAccessToken      one was sent and is refused: malformed, expired, foreign, ended
├── InvalidRefreshToken         unknown, malformed, expired, revoked: one answer
├── RefreshTokenReused          a spent token came back; its session is revoked
├── NothingToRevoke             logout of a session that is unknown, ended or another's
├── SessionNotFound             no such session of this user
├── Delayed                     try again after `retry_after` seconds
│   ├── TooManyAttempts         a limit on attempts is reached
│   └── Overloaded              more work waits than can be done in time
├── StoreUnavailable            Redis or the user store cannot be reached
│   ├── StoreRefuses            it answers, and says that it will not; the message says why
│   ├── KeyServiceUnavailable   the key service does not answer or refuses; the keys are not open
│   │   └── KeyServiceRefused   it refuses until an operator changes something there
│   ├── RevocationUnconfirmed   changed, but too few replicas have acknowledged it
│   ├── UnknownLayout           a stored value was written by another version of this program
│   ├── ClockWrong              this process' clock and Redis' are too far apart
│   └── AccountChanged          the user row has changed since it was read
└── SealBroken                  a sealed blob does not open; says nothing more on purpose
"""

from typing import Literal


class ServiceError(Exception):
    """Root of the tree."""


class StartupError(ServiceError):
    """The service cannot start. The message is one line that says what to change."""


class SettingsError(StartupError):
    """A `SERVICE_*` variable is wrong. The message names it and never shows a secret."""


class KeyRefused(ServiceError):
    """A change of keys is refused. The message says why, for the operator who asked for it."""


class InvalidField(ServiceError):
    """A field of the request cannot be used."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class MissingRefreshToken(ServiceError):
    """Logout was asked for without the refresh token to revoke."""


class WeakPassword(ServiceError):
    """The password is too short or among the most common. The message says which."""


class EmailTaken(ServiceError):
    """Another account has this e-mail address."""


class WrongAnswer(ServiceError):
    """What was to prove the person's identity does not. Counts as a wrong attempt."""


class InvalidCredentials(WrongAnswer):
    """Unknown e-mail address or wrong password; which one is not told."""


class InvalidCode(WrongAnswer):
    """The TOTP or recovery code is wrong, not a code at all, or was used before."""


class ChallengeFailed(WrongAnswer):
    """`InvalidCode` as the answer to a login challenge."""


class ChallengeNotFound(ServiceError):
    """The login challenge is unknown, malformed, expired or used up; which one is not told."""


class AlreadyEnabled(ServiceError):
    """The account has a second factor already."""


class NotEnabled(ServiceError):
    """The account has no second factor."""


class EnrollmentNotFound(ServiceError):
    """No such enrolment is pending: unknown, replaced, expired or another's; which is not told."""


class Unauthenticated(ServiceError):
    """No credential was sent where one is needed."""


class InvalidAccessToken(Unauthenticated):
    """The access token is malformed, expired, foreign, or its session has ended."""


class InvalidRefreshToken(ServiceError):
    """The refresh token is unknown, malformed, expired or revoked; which one is not told."""


class RefreshTokenReused(ServiceError):
    """A spent refresh token came back after its grace. Its session has been revoked."""


class NothingToRevoke(ServiceError):
    """The refresh token given to logout names no living session of the caller."""


class SessionNotFound(ServiceError):
    """The caller has no living session with this id."""


class Delayed(ServiceError):
    """Refused for now; worth trying again after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"try again in {retry_after} s")
        self.retry_after = max(1, retry_after)


class TooManyAttempts(Delayed):
    """A limit on attempts is reached; right credentials are refused as well."""


class Overloaded(Delayed):
    """More work is waiting than can be done in time, so this piece was not begun."""


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
    "error",
]
"""Why Redis refuses: our user may not, there is no such database, it is a replica, its memory is
full, it cannot save, it has too few replicas, it does something else, nobody has the slot, it is
another service's, or anything else."""


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
    and nothing was changed. `what` it was to be, for the log."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is of a version that this program does not know")


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


class SealBroken(ServiceError):
    """A sealed blob does not open: forged, moved, truncated, or of an unknown epoch."""

    def __init__(self) -> None:
        super().__init__("the sealed data cannot be opened")
