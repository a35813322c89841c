"""What people do with their own account, beyond sessions and the second factor."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from litestar import get, post
from litestar.params import JSONBody

from service.account_lifecycle.export import Export
from service.clock import moment, timestamp
from service.errors import (
    AuthenticationNotRecent,
    FactorRequired,
    InvalidAccessToken,
    InvalidCode,
    InvalidField,
    InvalidPassword,
    InvalidRefreshToken,
    InvalidTarget,
    NoPassword,
    OriginNotAllowed,
    PasswordUnchanged,
    RefreshTokenReused,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
    WeakPassword,
)
from service.web.authentication import BEARER
from service.web.cookies import presented, wants_cookie, with_tokens
from service.web.preferences import TELLS_HOW_FAR, tell_how_far
from service.web.refusals import refusals_audited
from service.web.requests import JsonRequest, demand_session, origin_of
from service.web.routes.bodies import (
    NO_STORE,
    Body,
    ResourceBody,
    SessionBody,
    SignedInBody,
    Timestamp,
    TokenPairBody,
    failures,
    session_body,
    signed_in_body,
    token_pair_body,
)
from service.web.services import services_of


class PasswordChangeBody(Body, frozen=True):
    """The password as it is and as it is to be."""

    current_password: str
    new_password: str


class FactorBody(Body, frozen=True, omit_defaults=True):
    """A factor besides the password, without its secret; of recovery codes, how many are left."""

    type: Literal["totp", "recovery_code"]
    left: int | msgspec.UnsetType = msgspec.UNSET


class AccountBody(Body, frozen=True):
    """The row of an account, without the hash of its password."""

    id: str
    email: str
    email_verified: bool
    created_at: Timestamp
    password_changed_at: Timestamp | None


class IdentityBody(Body, frozen=True):
    """Whom an OpenID provider knows the person as."""

    provider: str
    issuer: str
    subject: str
    linked_at: Timestamp


class ExportBody(Body, frozen=True):
    """All that is kept of an account; events are oldest first, each as it is in the stream."""

    exported_at: Timestamp
    account: AccountBody
    sessions: Sequence[SessionBody]
    factors: Sequence[FactorBody]
    identities: Sequence[IdentityBody]
    events: Sequence[Mapping[str, str]]


class ReauthenticateBody(ResourceBody, frozen=True):
    """The session's refresh token, and either the password or, with 2FA on, a code."""

    refresh_token: str | msgspec.UnsetType | None = msgspec.UNSET
    password: str | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET


@post(
    "/auth/reauthenticate",
    status_code=200,
    response_headers=NO_STORE,
    security=BEARER,
    summary="Prove anew who you are",
    response_description="A new token pair of the same session; the old refresh token is spent",
    responses=failures(
        InvalidTarget,
        InvalidPassword,
        InvalidCode,
        FactorRequired,
        InvalidRefreshToken,
        RefreshTokenReused,
        OriginNotAllowed,
        TooManyAttempts,
        InvalidAccessToken,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("reauthenticate")
async def reauthenticate(request: JsonRequest, data: JSONBody[ReauthenticateBody]) -> TokenPairBody:
    """Renew `auth_time` and `amr` of the session, by the password or, with 2FA on, by a code."""
    password, code = data.password, data.code
    use_case = services_of(request.app).reauthentication
    caller, origin, resource = request.user, origin_of(request), data.resource
    if isinstance(password, str):
        if isinstance(code, str):
            await demand_session(request)
            raise InvalidField("code", "Send either password or code, not both.")
        token = await presented(request, data.refresh_token)
        tokens = await use_case.by_password(caller, token.text, password, origin, resource)
    elif isinstance(code, str):
        token = await presented(request, data.refresh_token)
        tokens = await use_case.by_code(caller, token.text, code, origin, resource)
    else:
        await demand_session(request)
        raise InvalidField("password", "The field password or code is required.")
    return with_tokens(request, token_pair_body(tokens), tokens, token.answer_by_cookie)


@post(
    "/auth/password/change",
    opt=TELLS_HOW_FAR,
    status_code=200,
    response_headers=NO_STORE,
    security=BEARER,
    summary="Change the password",
    response_description="A token pair of a new session, and whose it is; all others have ended",
    responses=failures(
        InvalidTarget,
        InvalidPassword,
        WeakPassword,
        PasswordUnchanged,
        NoPassword,
        OriginNotAllowed,
        AuthenticationNotRecent,
        TooManyAttempts,
        InvalidAccessToken,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("password.change")
async def change_password(request: JsonRequest, data: JSONBody[PasswordChangeBody]) -> SignedInBody:
    """Replace the password. All sessions end, the caller's included, and a new one is opened."""
    use_case = services_of(request.app).password_change
    by_cookie = await wants_cookie(request)
    changed = await use_case.change(
        request.user, data.current_password, data.new_password, origin_of(request)
    )
    await tell_how_far(request, request.user.user_id)
    return with_tokens(request, signed_in_body(changed), changed.tokens, by_cookie)


@post(
    "/auth/account/delete",
    status_code=204,
    security=BEARER,
    summary="Delete the account",
    response_description="Account, factors and sessions are gone",
    responses=failures(
        AuthenticationNotRecent, InvalidAccessToken, StoreUnavailable, RevocationUnconfirmed
    ),
)
async def delete_account(request: JsonRequest) -> None:
    """Delete the caller's account, after a recent proof of who they are."""
    await services_of(request.app).own_account.delete(request.user, origin_of(request))


@get(
    "/auth/account/export",
    response_headers=NO_STORE,
    security=BEARER,
    summary="Export the account",
    response_description="All that is kept of it, but for secrets",
    responses=failures(
        AuthenticationNotRecent,
        TooManyAttempts,
        InvalidAccessToken,
        StoreUnavailable,
        RevocationUnconfirmed,
    ),
)
@refusals_audited("export")
async def export_account(request: JsonRequest) -> ExportBody:
    """Return all that is kept of the caller's account, once an hour."""
    caller = request.user
    export = await services_of(request.app).own_account.export(caller, origin_of(request))
    return _export_body(export, caller.session_id)


def _export_body(export: Export, current: bytes) -> ExportBody:
    user = export.user
    factors = []
    if user.two_fa_enabled:
        factors = [FactorBody("totp"), FactorBody("recovery_code", user.recovery_codes_left)]
    changed_at = user.password_changed_at
    return ExportBody(
        exported_at=timestamp(export.at),
        account=AccountBody(
            id=user.id.hex(),
            email=user.email,
            email_verified=user.email_verified_at is not None,
            created_at=timestamp(user.created_at),
            password_changed_at=timestamp(changed_at) if changed_at else None,
        ),
        sessions=[session_body(session, current) for session in export.sessions],
        factors=factors,
        identities=[
            IdentityBody(each.provider, each.issuer, each.subject, timestamp(each.linked_at))
            for each in export.identities
        ],
        events=[
            {"id": event.id, "at": timestamp(moment(event.at)), **event.fields}
            for event in export.events
        ],
    )


ROUTES = [reauthenticate, change_password, delete_account, export_account]
