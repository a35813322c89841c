"""Sessions: refresh, read, list, end."""

import re

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from service.errors import (
    InvalidAccessToken,
    InvalidRefreshToken,
    InvalidTarget,
    MissingRefreshToken,
    NothingToRevoke,
    OriginNotAllowed,
    RefreshTokenReused,
    RevocationUnconfirmed,
    SessionNotFound,
    StoreUnavailable,
    TooManyAttempts,
)
from service.web.authentication import BEARER, PUBLIC
from service.web.cookies import clear_cookie, presented, with_tokens
from service.web.metrics.outcomes import ended
from service.web.preferences import TELLS_HOW_FAR, tell_how_far
from service.web.refusals import refusals_audited
from service.web.requests import JsonRequest, origin_of
from service.web.routes.bodies import (
    NO_STORE,
    Body,
    ResourceBody,
    SessionBody,
    TokenPairBody,
    UserBody,
    failures,
    session_body,
    token_pair_body,
    user_body,
)
from service.web.services import services_of

_SESSION_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)


class RefreshBody(ResourceBody, frozen=True):
    """The refresh token to spend."""

    refresh_token: str | msgspec.UnsetType | None = msgspec.UNSET


class LogoutBody(Body, frozen=True):
    """The refresh token whose session ends."""

    refresh_token: str | None = None


class LogoutAllBody(Body, frozen=True):
    """Whether the caller's own session stays."""

    keep_current: bool = False


class RevokedBody(Body, frozen=True):
    """How many sessions have ended."""

    revoked: int


class MeBody(Body, frozen=True):
    """Who is asking, and through which session."""

    user: UserBody
    session: SessionBody


class SessionsBody(Body, frozen=True):
    """Living sessions, newest first."""

    sessions: list[SessionBody]


@post(
    "/auth/refresh",
    opt=PUBLIC,
    status_code=200,
    response_headers=NO_STORE,
    summary="Refresh",
    response_description="A new token pair; the old refresh token is spent",
    responses=failures(
        InvalidTarget,
        InvalidRefreshToken,
        RefreshTokenReused,
        OriginNotAllowed,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("refresh")
async def refresh(request: JsonRequest, data: JSONBody[RefreshBody]) -> TokenPairBody:
    """Spend a refresh token for its successor. Racing callers within the grace get the same one."""
    sessions = services_of(request.app).sessions
    token = await presented(request, data.refresh_token)
    tokens = await sessions.refresh(token.text, origin_of(request), data.resource)
    return with_tokens(request, token_pair_body(tokens), tokens, token.answer_by_cookie)


@get(
    "/auth/me",
    response_headers=NO_STORE,
    security=BEARER,
    summary="Who am I",
    response_description="Account and session",
    responses=failures(InvalidAccessToken, StoreUnavailable),
)
async def me(request: JsonRequest) -> MeBody:
    """Return the caller's account and session."""
    identity = await services_of(request.app).identities.of(request.user)
    session = identity.session
    return MeBody(user_body(identity.user), session_body(session, session.id))


@post(
    "/auth/logout",
    opt={"ended_session": True, **TELLS_HOW_FAR},
    status_code=204,
    security=BEARER,
    summary="Log out",
    response_description="The session has ended",
    responses=failures(
        MissingRefreshToken,
        NothingToRevoke,
        OriginNotAllowed,
        InvalidAccessToken,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
async def logout(request: JsonRequest, data: JSONBody[LogoutBody]) -> None:
    """End the session of a refresh token of the caller's, spent or not."""
    token = await presented(request, data.refresh_token, required=False)
    if not token.text:
        raise MissingRefreshToken
    sessions = services_of(request.app).sessions
    ended_id = await sessions.log_out(request.user, token.text, origin_of(request))
    await tell_how_far(request, ended_id)
    if token.by_cookie:
        clear_cookie(request)


@post(
    "/auth/logout/all",
    opt={"body_optional": True, **TELLS_HOW_FAR},
    status_code=200,
    security=BEARER,
    summary="Log out everywhere",
    response_description="How many sessions have ended",
    responses=failures(
        TooManyAttempts, InvalidAccessToken, StoreUnavailable, RevocationUnconfirmed, body=True
    ),
)
@refusals_audited("logout.all")
async def logout_all(request: JsonRequest, data: JSONBody[LogoutAllBody]) -> RevokedBody:
    """End all sessions of the caller, or all others with `keepCurrent`."""
    sessions = services_of(request.app).sessions
    revoked = await sessions.revoke_all(request.user, data.keep_current, origin_of(request))
    ended("all", revoked)
    await tell_how_far(request, request.user.user_id)
    return RevokedBody(revoked)


@get(
    "/auth/sessions",
    response_headers=NO_STORE,
    security=BEARER,
    summary="List sessions",
    response_description="Living sessions, newest first",
    responses=failures(InvalidAccessToken, StoreUnavailable),
)
async def list_sessions(request: JsonRequest) -> SessionsBody:
    """List the caller's living sessions, newest first."""
    caller = request.user
    sessions = await services_of(request.app).sessions.all_of(caller, origin_of(request))
    return SessionsBody([session_body(session, caller.session_id) for session in sessions])


@delete(
    "/auth/sessions/{id:str}",
    opt=TELLS_HOW_FAR,
    status_code=204,
    security=BEARER,
    summary="End one session",
    response_description="The session has ended",
    responses=failures(
        SessionNotFound, InvalidAccessToken, StoreUnavailable, RevocationUnconfirmed
    ),
)
async def end_session(request: JsonRequest, id: FromPath[str]) -> None:
    """End one of the caller's sessions by its public id."""
    sessions = services_of(request.app).sessions
    if not _SESSION_ID.fullmatch(id):
        await sessions.current(request.user)
        raise SessionNotFound
    await sessions.revoke(request.user, bytes.fromhex(id), origin_of(request))
    await tell_how_far(request, bytes.fromhex(id))


ROUTES = [refresh, me, logout, logout_all, list_sessions, end_session]

DIRECT = [refresh, me, logout]
"""Those that are asked most."""
