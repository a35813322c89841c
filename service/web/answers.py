"""The one table that maps errors to answers, and the one shape that these have."""

from collections.abc import Sequence

import msgspec

from service import errors


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of the body. Never its value."""

    field: str
    message: str


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """`code` is for programs, `message` for people."""

    code: str
    message: str
    details: Sequence[FieldError] = ()


class ErrorBody(msgspec.Struct, frozen=True):
    """The shape of every error."""

    error: ErrorDetail


class Answer(msgspec.Struct, frozen=True):
    """The answer to an error. Without a `message`, the error's own is shown."""

    status: int
    code: str
    message: str | None = None


TABLE: dict[type[errors.ServiceError], Answer] = {
    errors.InvalidField: Answer(400, "bad_request"),
    errors.MissingRefreshToken: Answer(
        400, "bad_request", "Refresh token is required in the body for revocation."
    ),
    errors.InvalidTarget: Answer(
        400, "invalid_target", "There are no access tokens for this resource here."
    ),
    errors.WeakPassword: Answer(400, "weak_password"),
    errors.PasswordUnchanged: Answer(
        400, "password_unchanged", "The new password is the current one: choose another."
    ),
    errors.NoPassword: Answer(400, "no_password", "This account has no password."),
    errors.EmailTaken: Answer(409, "email_taken", "An account with this e-mail address exists."),
    errors.InvalidCredentials: Answer(
        401, "invalid_credentials", "The e-mail address or the password is wrong."
    ),
    errors.AccountDisabled: Answer(
        403, "account_disabled", "This account is disabled; ask whoever runs this service."
    ),
    errors.InvalidPassword: Answer(400, "invalid_password", "The password is wrong."),
    errors.InvalidCode: Answer(
        400,
        "invalid_code",
        "The code is wrong, or it was used before; wait up to 30 seconds for the next one.",
    ),
    errors.ChallengeFailed: Answer(
        401,
        "invalid_code",
        "The code is wrong, or it was used before; wait up to 30 seconds for the next one.",
    ),
    errors.ChallengeNotFound: Answer(
        401, "challenge_not_found", "The login has expired or was completed; log in again."
    ),
    errors.AuthenticationNotRecent: Answer(
        401,
        "insufficient_user_authentication",
        "Prove anew who you are, with the password or, with 2FA on, a code; then ask again.",
    ),
    errors.FactorRequired: Answer(400, "factor_required"),
    errors.OriginNotAllowed: Answer(403, "origin_not_allowed"),
    errors.AlreadyEnabled: Answer(
        400, "already_enabled", "2FA is already enabled on this account."
    ),
    errors.NotEnabled: Answer(400, "not_enabled", "2FA is not enabled on this account."),
    errors.EnrollmentNotFound: Answer(
        400, "enrollment_not_found", "No such enrolment is pending; enable 2FA again."
    ),
    errors.InvalidResetToken: Answer(
        400, "invalid_reset_token", "The link is not valid any more; ask for another one."
    ),
    errors.InvalidVerificationToken: Answer(
        400, "invalid_verification_token", "The link is not valid any more; ask for another one."
    ),
    errors.AlreadyVerified: Answer(400, "already_verified", "The address is verified already."),
    errors.EmailNotVerified: Answer(
        403,
        "email_not_verified",
        "The address is not verified: follow the link in the mail. Signing up again, or asking for"
        " a new password, sends another.",
    ),
    errors.Unauthenticated: Answer(
        401, "unauthorized", "Send an access token: Authorization: Bearer <token>."
    ),
    errors.InvalidAccessToken: Answer(
        401, "unauthorized", "The access token is not valid any more; refresh it or log in."
    ),
    errors.InvalidRefreshToken: Answer(
        401, "invalid_refresh_token", "The refresh token is not valid; log in again."
    ),
    errors.RefreshTokenReused: Answer(
        401,
        "refresh_token_reused",
        "The refresh token was used before. The session has been ended; log in again.",
    ),
    errors.ApiKeyRequired: Answer(
        401, "unauthorized", "Send an API key: Authorization: Bearer <key>."
    ),
    errors.InvalidApiKey: Answer(401, "unauthorized", "The API key is not valid."),
    errors.InsufficientScope: Answer(403, "insufficient_scope"),
    errors.UserNotFound: Answer(404, "user_not_found", "There is no such account."),
    errors.ApiKeyNotFound: Answer(404, "api_key_not_found", "There is no such API key."),
    errors.RelyingPartyNotFound: Answer(
        404, "relying_party_not_found", "There is no such relying party."
    ),
    errors.RelyingPartyExists: Answer(
        409,
        "relying_party_exists",
        "This client is registered with other values: remove it first.",
    ),
    errors.TooManyRelyingParties: Answer(
        409, "relying_party_limit", "As many relying parties are registered as there may be."
    ),
    errors.MailOff: Answer(
        409,
        "mail_off",
        "No mail is set up here; on the command line, users reset-password prints a link.",
    ),
    errors.NothingToRevoke: Answer(
        400, "session_not_found", "Session not found or already revoked."
    ),
    errors.SessionNotFound: Answer(404, "session_not_found", "You have no such session."),
    errors.ProviderNotFound: Answer(404, "not_found", "There is no such provider."),
    errors.RedirectNotAllowed: Answer(
        400, "redirect_uri_not_allowed", "A login may not lead back to this redirectUri."
    ),
    errors.InvalidState: Answer(
        400, "invalid_state", "The login was begun too long ago, or was completed; begin again."
    ),
    errors.InvalidGrant: Answer(
        400, "invalid_grant", "The grant is not valid any more; begin the login again."
    ),
    errors.EmailRequired: Answer(
        400, "email_required", "The provider tells no e-mail address, and an account needs one."
    ),
    errors.SignupDisabled: Answer(
        403, "signup_disabled", "There is no account for this login, and none is made."
    ),
    errors.LinkRequired: Answer(
        409,
        "link_required",
        "An account has this e-mail address: log in to it, and link the provider there.",
    ),
    errors.AlreadyLinked: Answer(
        409, "already_linked", "The provider is linked already, to this account or to another."
    ),
    errors.NotLinked: Answer(404, "not_linked", "The provider is not linked to this account."),
    errors.LastLoginMethod: Answer(
        409, "last_login_method", "Nothing else logs in to this account: set a password first."
    ),
    errors.InvalidLogoutToken: Answer(
        400, "invalid_logout_token", "The logout token is not valid, or was used before."
    ),
    errors.ProviderUnavailable: Answer(
        503, "provider_unavailable", "The provider cannot be reached at the moment; try again."
    ),
    errors.TooManyAttempts: Answer(
        429, "rate_limited", "Too many attempts; try again after the time in Retry-After."
    ),
    errors.Overloaded: Answer(
        503, "service_unavailable", "The service is busy; try again after the time in Retry-After."
    ),
    errors.SealBroken: Answer(
        503, "service_unavailable", "A stored secret cannot be opened at the moment; try again."
    ),
    errors.RevocationUnconfirmed: Answer(
        503,
        "revocation_unconfirmed",
        "The change is not yet as durable as configured; try again until it is.",
    ),
    errors.StoreUnavailable: Answer(
        503, "service_unavailable", "A store cannot be reached at the moment; try again."
    ),
}

FRAMEWORK: dict[int, Answer] = {
    400: Answer(400, "bad_request", "The request cannot be read."),
    404: Answer(404, "not_found", "There is nothing at this address."),
    405: Answer(405, "method_not_allowed", "This address does not take this method; see Allow."),
    408: Answer(408, "request_timeout", "The request did not come in within the time for it."),
    413: Answer(413, "payload_too_large", "The body is larger than 65,536 bytes."),
    414: Answer(414, "uri_too_long", "The query is longer than 1,024 bytes."),
    415: Answer(415, "unsupported_media_type", "The body must be JSON (application/json)."),
    431: Answer(
        431, "headers_too_large", "The headers are more than 100, or larger than 65,536 bytes."
    ),
    500: Answer(500, "server_error", "Something went wrong here. It has been logged."),
}
"""What the framework and the server themselves refuse."""
