"""Signing up and logging in."""

from litestar import post

from service.authentication.password import LoggedIn
from service.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidField,
    StoreUnavailable,
    TooManyAttempts,
    WeakPassword,
)
from service.web.requests import JsonRequest, client_of
from service.web.routes.bodies import NO_STORE, Body, SignedInBody, failures, user_body
from service.web.services import services_of


class CredentialsBody(Body, frozen=True):
    """An e-mail address and a password."""

    email: str
    password: str


@post(
    "/auth/signup",
    response_headers=NO_STORE,
    summary="Sign up",
    response_description="The account and a token pair",
    responses=failures(
        InvalidField, WeakPassword, EmailTaken, TooManyAttempts, StoreUnavailable, body=True
    ),
)
async def signup(request: JsonRequest, data: CredentialsBody) -> SignedInBody:
    """Create an account and open its first session."""
    accounts = services_of(request.app).accounts
    return _body(await accounts.sign_up(data.email, data.password, client_of(request)))


@post(
    "/auth/login",
    status_code=200,
    response_headers=NO_STORE,
    summary="Log in",
    response_description="A token pair, and whose it is",
    responses=failures(InvalidCredentials, TooManyAttempts, StoreUnavailable, body=True),
)
async def login(request: JsonRequest, data: CredentialsBody) -> SignedInBody:
    """Open a session. An unknown e-mail address and a wrong password get the same answer."""
    accounts = services_of(request.app).accounts
    return _body(await accounts.log_in(data.email, data.password, client_of(request)))


def _body(logged_in: LoggedIn) -> SignedInBody:
    tokens = logged_in.tokens
    return SignedInBody(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_in=tokens.expires_in,
        session_id=tokens.session_id.hex(),
        user=user_body(logged_in.user),
    )
