"""The second factor: enable, verify, disable, fresh recovery codes."""

from collections.abc import Sequence

from litestar import post
from litestar.params import JSONBody

from service.authentication.identity import Identity
from service.clock import timestamp
from service.errors import (
    AlreadyEnabled,
    AuthenticationNotRecent,
    EnrollmentNotFound,
    InvalidAccessToken,
    InvalidCode,
    NotEnabled,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
)
from service.web.authentication import BEARER
from service.web.refusals import refusals_audited
from service.web.requests import JsonRequest, origin_of
from service.web.routes.bodies import (
    NO_STORE,
    Body,
    Timestamp,
    failures,
)
from service.web.services import services_of

_SCAN = "Scan the QR code with your authenticator app. Verify in next step."


class EnrollmentBody(Body, frozen=True):
    """A pending enrolment. `otpauthUrl` is what the QR code shows; it holds the secret."""

    temp_secret_id: str
    otpauth_url: str
    expires_at: Timestamp
    message: str = _SCAN


class VerifyBody(Body, frozen=True):
    """A pending enrolment, and a code of the authenticator app that was set up with it."""

    temp_secret_id: str
    code: str
    end_other_sessions: bool = False


class CodeBody(Body, frozen=True):
    """A TOTP code or, where the call says so, a recovery code. Whether all other sessions end."""

    code: str
    end_other_sessions: bool = False


class EnabledBody(Body, frozen=True):
    """The second factor is on. The recovery codes are shown this once."""

    enabled: bool
    recovery_codes: Sequence[str]


class RecoveryCodesBody(Body, frozen=True):
    """Fresh recovery codes, shown this once. The old ones are not valid any more."""

    recovery_codes: Sequence[str]


@post(
    "/auth/2fa/enable",
    status_code=200,
    response_headers=NO_STORE,
    security=BEARER,
    summary="Begin to enable 2FA",
    response_description="What to scan; verify it within ten minutes",
    responses=failures(
        AlreadyEnabled,
        AuthenticationNotRecent,
        TooManyAttempts,
        InvalidAccessToken,
        StoreUnavailable,
        RevocationUnconfirmed,
    ),
)
@refusals_audited("2fa.enable")
async def enable(request: JsonRequest) -> EnrollmentBody:
    """Mint a secret for the authenticator app. It replaces one that is still to be verified."""
    services, origin = services_of(request.app), origin_of(request)
    caller, must_be_recent = request.user, services.before_enrolment
    user = await services.identities.account_of(caller) if must_be_recent is None else None
    if user is not None:
        begun = await services.enrolments.begin(user, origin, caller.session_id)
    else:
        identity = await services.identities.of(caller, as_stored=True)
        if must_be_recent is not None:
            await must_be_recent.demand(identity)
        begun = await services.enrolments.begin(identity.user, origin)
    return EnrollmentBody(
        temp_secret_id=begun.enrolment_id.hex(),
        otpauth_url=begun.otpauth_url,
        expires_at=timestamp(begun.expires_at),
    )


@post(
    "/auth/2fa/verify",
    status_code=200,
    response_headers=NO_STORE,
    security=BEARER,
    summary="Enable 2FA",
    response_description="2FA is on; ten recovery codes",
    responses=failures(
        AlreadyEnabled,
        EnrollmentNotFound,
        InvalidCode,
        TooManyAttempts,
        InvalidAccessToken,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("2fa.verify")
async def verify(request: JsonRequest, data: JSONBody[VerifyBody]) -> EnabledBody:
    """Turn 2FA on with a code of the app. Ends no session unless asked to. The code is spent."""
    services, origin = services_of(request.app), origin_of(request)
    identity = await services.identities.of(request.user)
    codes = await services.enrolments.verify(
        identity.user.id, data.temp_secret_id, data.code, origin, keep=_kept(identity, data)
    )
    return EnabledBody(enabled=True, recovery_codes=codes)


@post(
    "/auth/2fa/disable",
    status_code=204,
    security=BEARER,
    summary="Disable 2FA",
    response_description="2FA is off",
    responses=failures(
        NotEnabled,
        InvalidCode,
        TooManyAttempts,
        InvalidAccessToken,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("2fa.disable")
async def disable(request: JsonRequest, data: JSONBody[CodeBody]) -> None:
    """Turn 2FA off with a TOTP or a recovery code. Logins that wait for a code end."""
    services, origin = services_of(request.app), origin_of(request)
    identity = await services.identities.of(request.user)
    await services.second_factor.disable(
        identity.user.id, data.code, origin, keep=_kept(identity, data)
    )


@post(
    "/auth/2fa/recovery-codes",
    status_code=200,
    response_headers=NO_STORE,
    security=BEARER,
    summary="Renew recovery codes",
    response_description="Ten recovery codes; the old ones are dead",
    responses=failures(
        NotEnabled,
        InvalidCode,
        TooManyAttempts,
        InvalidAccessToken,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("2fa.recoveryCodes")
async def renew_recovery_codes(request: JsonRequest, data: JSONBody[CodeBody]) -> RecoveryCodesBody:
    """Replace all recovery codes, with a TOTP code."""
    services, origin = services_of(request.app), origin_of(request)
    identity = await services.identities.of(request.user)
    codes = await services.second_factor.renew_recovery_codes(
        identity.user.id, data.code, origin, keep=_kept(identity, data)
    )
    return RecoveryCodesBody(recovery_codes=codes)


def _kept(identity: Identity, data: VerifyBody | CodeBody) -> bytes | None:
    """Return the id of the session that stays if all others end; `None`: none ends."""
    return identity.session.id if data.end_other_sessions else None


ROUTES = [enable, verify, disable, renew_recovery_codes]

DIRECT = [enable]
"""The one that is asked most."""
