"""What people do with their own account, beyond sessions and the second factor."""

import msgspec
from litestar import post

from service.errors import (
    FactorRequired,
    InvalidAccessToken,
    InvalidCode,
    InvalidField,
    InvalidPassword,
    InvalidRefreshToken,
    RefreshTokenReused,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
)
from service.web.authentication import BEARER
from service.web.requests import JsonRequest, origin_of
from service.web.routes.bodies import (
    NO_STORE,
    Body,
    TokenPairBody,
    failures,
    token_pair_body,
)
from service.web.services import services_of


class ReauthenticateBody(Body, frozen=True):
    """The session's refresh token, and either the password or, with 2FA on, a code."""

    refresh_token: str
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
        InvalidPassword,
        InvalidCode,
        FactorRequired,
        InvalidRefreshToken,
        RefreshTokenReused,
        TooManyAttempts,
        InvalidAccessToken,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
async def reauthenticate(request: JsonRequest, data: ReauthenticateBody) -> TokenPairBody:
    """Renew `auth_time` and `amr` of the session, by the password or, with 2FA on, by a code."""
    password, code = data.password, data.code
    use_case = services_of(request.app).reauthentication
    caller, origin = request.user, origin_of(request)
    if isinstance(password, str):
        if isinstance(code, str):
            raise InvalidField("code", "Send either password or code, not both.")
        tokens = await use_case.by_password(caller, data.refresh_token, password, origin)
    elif isinstance(code, str):
        tokens = await use_case.by_code(caller, data.refresh_token, code, origin)
    else:
        raise InvalidField("password", "The field password or code is required.")
    return token_pair_body(tokens)
