"""What can go wrong, in the words of the domain. Nothing here knows HTTP; `web/answers.py` maps it.

ServiceError
├── StartupError                the start stops; the message is the one line the operator reads
│   └── SettingsError           a SERVICE_* variable is wrong
├── KeyRefused                  a change of keys would do harm, or there is nothing to change
├── InvalidField                a field of the request cannot be used; names it, never its value
├── InvalidTarget               tokens for a resource that is no audience here, or not any more
├── MissingRefreshToken         logout without the token to revoke
├── WeakPassword                too short, or among the most common
├── PasswordUnchanged           the new password is the current one
├── NoPassword                  the account has none to change
├── EmailTaken
├── WrongAnswer                 counts against the limits on attempts
│   ├── InvalidCredentials      unknown e-mail or wrong password: one answer
│   ├── InvalidPassword         wrong password of an account that is known
│   ├── InvalidCode             wrong, odd or used TOTP or recovery code
│   ├── ChallengeFailed         the same at login
│   └── InvalidApiKey           unknown, malformed, expired, revoked: one answer
├── AccountDisabled             told to whoever has the right password
├── ChallengeNotFound           unknown, malformed, expired or used: one answer
├── AuthenticationNotRecent     the caller's last proof is too old, or lacks the second factor
├── FactorRequired              a password where a code is asked for, or the other way round
├── AlreadyEnabled              the second factor is on
├── NotEnabled                  the second factor is off
├── EnrollmentNotFound          unknown, replaced, expired or another's: one answer
├── TicketNotFound              unknown, expired, used, replaced, of another purpose: one answer
├── InvalidVerificationToken    the same, of a link by which an address is verified or changed
├── AlreadyVerified             the address is
├── EmailNotVerified            told to whoever has logged in but for that
├── InvalidResetToken           unknown, expired, used, replaced, not one at all: one answer
├── UserNotFound                an operator has named an account that is not there
├── OriginNotAllowed            a browser's cookie, and not from a page that may use it
├── Unauthenticated             no credential where one is needed
│   ├── ApiKeyRequired          and it would have to be an API key
│   └── InvalidAccessToken      one was sent and is refused: malformed, expired, foreign, ended
├── InsufficientScope           the API key may not do this
├── ApiKeyNotFound              an operator has named an API key that is not there
├── RelyingPartyRefused
│   ├── RelyingPartyNotFound    an operator has named a client that never was registered
│   ├── RelyingPartyExists      a client that is, with other values
│   └── TooManyRelyingParties   as many are registered as there may be
├── MailOff                     what would be mailed cannot be: no mail is set up
├── InvalidRefreshToken         unknown, malformed, expired, revoked: one answer
├── RefreshTokenReused          a spent token came back; its session is revoked
├── NothingToRevoke             logout of a session that is unknown, ended or another's
├── SessionNotFound             no such session of this user
├── ProviderNotFound …          of logins at OpenID providers: drawn in providers.py
├── ProviderUnavailable …       such a provider cannot be reached, or fails: the same
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

from service.errors.delays import (
    Delayed as Delayed,
    Overloaded as Overloaded,
    TooManyAttempts as TooManyAttempts,
)
from service.errors.links import (
    AlreadyVerified as AlreadyVerified,
    EmailNotVerified as EmailNotVerified,
    InvalidResetToken as InvalidResetToken,
    InvalidVerificationToken as InvalidVerificationToken,
    TicketNotFound as TicketNotFound,
)
from service.errors.operators import (
    ApiKeyNotFound as ApiKeyNotFound,
    InsufficientScope as InsufficientScope,
    MailOff as MailOff,
    RelyingPartyExists as RelyingPartyExists,
    RelyingPartyNotFound as RelyingPartyNotFound,
    RelyingPartyRefused as RelyingPartyRefused,
    TooManyRelyingParties as TooManyRelyingParties,
    UserNotFound as UserNotFound,
)
from service.errors.providers import (
    AlreadyLinked as AlreadyLinked,
    EmailRequired as EmailRequired,
    InvalidGrant as InvalidGrant,
    InvalidLogoutToken as InvalidLogoutToken,
    InvalidState as InvalidState,
    LastLoginMethod as LastLoginMethod,
    LinkRequired as LinkRequired,
    NotLinked as NotLinked,
    ProviderFailed as ProviderFailed,
    ProviderNotFound as ProviderNotFound,
    ProviderUnavailable as ProviderUnavailable,
    RedirectNotAllowed as RedirectNotAllowed,
    SignupDisabled as SignupDisabled,
)
from service.errors.root import (
    KeyRefused as KeyRefused,
    ServiceError as ServiceError,
    SettingsError as SettingsError,
    StartupError as StartupError,
)
from service.errors.stores import (
    AccountChanged as AccountChanged,
    ClockWrong as ClockWrong,
    KeyServiceRefused as KeyServiceRefused,
    KeyServiceUnavailable as KeyServiceUnavailable,
    Refusal as Refusal,
    RevocationUnconfirmed as RevocationUnconfirmed,
    StoreRefuses as StoreRefuses,
    StoreUnavailable as StoreUnavailable,
    UnknownLayout as UnknownLayout,
)
from service.errors.tokens import (
    InvalidRefreshToken as InvalidRefreshToken,
    InvalidTarget as InvalidTarget,
    RefreshTokenReused as RefreshTokenReused,
)


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


class PasswordUnchanged(ServiceError):
    """The new password is the current one."""


class NoPassword(ServiceError):
    """The account has no password that could be changed."""


class EmailTaken(ServiceError):
    """Another account has this e-mail address."""


class WrongAnswer(ServiceError):
    """What was to prove the person's identity does not. Counts as a wrong attempt."""


class InvalidCredentials(WrongAnswer):
    """Unknown e-mail address or wrong password; which one is not told."""


class InvalidPassword(WrongAnswer):
    """The password is not that of the caller's account."""


class InvalidCode(WrongAnswer):
    """The TOTP or recovery code is wrong, not a code at all, or was used before."""


class ChallengeFailed(WrongAnswer):
    """`InvalidCode` as the answer to a login challenge."""


class AccountDisabled(ServiceError):
    """The password is right, and an operator lets nobody log in to the account."""


class ChallengeNotFound(ServiceError):
    """The login challenge is unknown, malformed, expired or used up; which one is not told."""


class AuthenticationNotRecent(ServiceError):
    """The session's last proof of identity is more than `max_age` seconds ago, or lacks the second
    factor that the account has."""

    def __init__(self, max_age: int) -> None:
        super().__init__(f"the last proof is more than {max_age} s ago")
        self.max_age = max_age


class FactorRequired(ServiceError):
    """The account asks for another proof than the one sent. The message says for which."""


class OriginNotAllowed(ServiceError):
    """A page asks for what goes by cookie, and may not. The message says why."""


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


class ApiKeyRequired(Unauthenticated):
    """No API key was sent where one is needed."""


class InvalidApiKey(WrongAnswer):
    """The API key is unknown, malformed, expired or revoked; which one is not told."""


class NothingToRevoke(ServiceError):
    """The refresh token given to logout names no living session of the caller."""


class SessionNotFound(ServiceError):
    """The caller has no living session with this id."""


class SealBroken(ServiceError):
    """A sealed blob does not open: forged, moved, truncated, or of an unknown epoch."""

    def __init__(self) -> None:
        super().__init__("the sealed data cannot be opened")
