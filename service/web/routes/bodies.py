"""Bodies that several routes share, with the spelling of times and ids."""

from collections.abc import Iterable

import msgspec
from litestar.openapi import ResponseSpec

from service.accounts.user_rows import User
from service.authentication.password import LoggedIn
from service.clock import timestamp
from service.errors import ServiceError
from service.operators import documents
from service.sessions.record import Session
from service.sessions.token_pair import TokenPair
from service.web import oauth_errors
from service.web.answers import FRAMEWORK, TABLE, Answer, ErrorBody

Timestamp = documents.Timestamp

NO_STORE = {"Cache-Control": "no-store"}
"""Headers of every answer that holds a token or a secret."""


class Body(msgspec.Struct, frozen=True, rename="camel"):
    """A JSON object with camelCase names. Many hold secrets, so none shows what is in it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ResourceBody(Body, frozen=True, kw_only=True):
    """Whom the access tokens are for (RFC 8707): an audience of this service, or the default."""

    resource: str | None = None


class TwoFactorBody(Body, frozen=True):
    """Whether a second factor is enrolled, and how many recovery codes are left."""

    enabled: bool
    recovery_codes_left: int


class UserBody(Body, frozen=True):
    """An account as its owner sees it."""

    id: str
    email: str
    email_verified: bool
    two_fa: TwoFactorBody = msgspec.field(name="twoFA")
    created_at: Timestamp


class TokenPairBody(Body, frozen=True, kw_only=True):
    """The answer of RFC 6749, section 5.1, in camelCase. `expiresIn` is the access token's.

    In cookie mode the refresh token is not in it.
    """

    access_token: str
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET
    token_type: str = "Bearer"  # noqa: S105  a scheme
    expires_in: int
    session_id: str


class SignedInBody(TokenPairBody, frozen=True, kw_only=True):
    """A token pair, and whose it is."""

    user: UserBody


class SessionBody(documents.SessionDocument, frozen=True, rename="camel"):
    """A session as its owner sees it. `expiresAt` is the earlier of its idle and absolute end."""

    current: bool


def user_body(user: User) -> UserBody:
    """Make the body of an account."""
    return UserBody(
        id=user.id.hex(),
        email=user.email,
        email_verified=user.email_verified_at is not None,
        two_fa=TwoFactorBody(
            enabled=user.two_fa_enabled, recovery_codes_left=user.recovery_codes_left
        ),
        created_at=timestamp(user.created_at),
    )


def token_pair_body(tokens: TokenPair) -> TokenPairBody:
    """Make the body of a token pair."""
    return TokenPairBody(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_in=tokens.expires_in,
        session_id=tokens.session_id.hex(),
    )


def signed_in_body(logged_in: LoggedIn) -> SignedInBody:
    """Make the body of tokens and whose they are."""
    tokens = logged_in.tokens
    return SignedInBody(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_in=tokens.expires_in,
        session_id=tokens.session_id.hex(),
        user=user_body(logged_in.user),
    )


def session_body(session: Session, current: bytes) -> SessionBody:
    """Make the body of a session, seen from the session with the id `current`."""
    return SessionBody(
        id=session.id.hex(),
        created_at=timestamp(session.opened_at),
        last_used_at=timestamp(session.last_used_at),
        expires_at=timestamp(session.expires_at),
        ip_address=session.ip_address,
        user_agent=session.user_agent,
        current=session.id == current,
    )


def failures(*kinds: type[ServiceError], body: bool = False) -> dict[int, ResponseSpec]:
    """Describe these errors as OpenAPI responses: by status, the codes that each may carry.

    `body` adds those of a route that takes one.
    """
    answers = [TABLE[kind] for kind in kinds] + [FRAMEWORK[500]]
    if body:
        answers += [FRAMEWORK[400], FRAMEWORK[415]]
    return _described(answers) | REFUSALS


def oauth_failures(*kinds: type[ServiceError]) -> dict[int, ResponseSpec]:
    """Describe these errors, and those of a body, in the shape of the OAuth endpoints."""
    answers = [TABLE[kind] for kind in kinds]
    answers += [FRAMEWORK[status] for status in (400, 415, 500, *_ON_ANY_ROUTE)]
    spelt = [oauth_errors.spelt(answer, "") for answer in answers]
    told = [Answer(status, body.error) for status, body in spelt]
    return _described(told, oauth_errors.OAuthErrorBody)


def _described(answers: Iterable[Answer], shape: type = ErrorBody) -> dict[int, ResponseSpec]:
    codes: dict[int, set[str]] = {}
    for answer in answers:
        codes.setdefault(answer.status, set()).add(f"`{answer.code}`")
    return {
        status: ResponseSpec(shape, False, ", ".join(sorted(names)))
        for status, names in sorted(codes.items())
    }


_ON_ANY_ROUTE = 408, 413, 414, 431

REFUSALS = _described(FRAMEWORK[status] for status in _ON_ANY_ROUTE)
"""The OpenAPI responses of what is refused whatever route it is for."""
