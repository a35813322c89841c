"""Signing up and logging in."""

from collections.abc import Sequence
from typing import Literal

from litestar import Response, post
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody

from service.authentication.password import LoggedIn
from service.clock import timestamp
from service.errors import (
    AccountDisabled,
    ChallengeFailed,
    ChallengeNotFound,
    EmailNotVerified,
    EmailTaken,
    InvalidCredentials,
    InvalidField,
    InvalidTarget,
    OriginNotAllowed,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
    WeakPassword,
)
from service.web.authentication import PUBLIC
from service.web.cookies import wants_cookie, with_tokens
from service.web.refusals import refusals_audited
from service.web.requests import JsonRequest, origin_of
from service.web.routes.bodies import (
    NO_STORE,
    Body,
    ResourceBody,
    SignedInBody,
    Timestamp,
    failures,
    signed_in_body,
)
from service.web.services import services_of


class CredentialsBody(ResourceBody, frozen=True):
    """An e-mail address and a password."""

    email: str
    password: str


class SignupBody(CredentialsBody, frozen=True):
    """An e-mail address, and a password that is not weak."""


class ChallengeBody(Body, frozen=True):
    """The password was right. Prove the second factor by one of `methods` until `expiresAt`."""

    challenge_id: str
    expires_at: Timestamp
    methods: Sequence[Literal["totp", "recovery_code"]] = ("totp", "recovery_code")


class VerificationBody(Body, frozen=True):
    """The address is to be verified by a link in a mail, before anybody logs in."""

    verification_required: bool = True


class ChallengeAnswerBody(ResourceBody, frozen=True):
    """A challenge, and a TOTP or recovery code."""

    challenge_id: str
    code: str


@post(
    "/auth/signup",
    opt=PUBLIC,
    response_headers=NO_STORE,
    summary="Sign up",
    response_description="The account and a token pair",
    responses=failures(
        InvalidField,
        InvalidTarget,
        WeakPassword,
        EmailTaken,
        OriginNotAllowed,
        TooManyAttempts,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    )
    | {202: ResponseSpec(VerificationBody, False, "A mail says how it goes on")},
)
@refusals_audited("signup")
async def signup(request: JsonRequest, data: JSONBody[SignupBody]) -> SignedInBody:
    """Create an account and open its first session.

    With `SERVICE_EMAIL_VERIFICATION=required` the answer is 202, whosever the address is.
    """
    accounts = services_of(request.app).accounts
    by_cookie = await wants_cookie(request)
    opened = await accounts.sign_up(data.email, data.password, origin_of(request), data.resource)
    if opened is None:
        answer = Response(VerificationBody(), status_code=202)
        return answer  # type: ignore[return-value]  # Litestar takes either
    return with_tokens(request, signed_in_body(opened), opened.tokens, by_cookie)


@post(
    "/auth/login",
    opt=PUBLIC,
    status_code=200,
    response_headers=NO_STORE,
    summary="Log in",
    response_description="A token pair, and whose it is",
    responses=failures(
        InvalidTarget,
        InvalidCredentials,
        AccountDisabled,
        EmailNotVerified,
        OriginNotAllowed,
        TooManyAttempts,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    )
    | {202: ResponseSpec(ChallengeBody, False, "The password is right; a code is to follow")},
)
@refusals_audited("login")
async def login(request: JsonRequest, data: JSONBody[CredentialsBody]) -> SignedInBody:
    """Open a session, or with 2FA a challenge.

    An unknown e-mail address and a wrong password get the same answer.
    """
    accounts = services_of(request.app).accounts
    by_cookie = await wants_cookie(request)
    outcome = await accounts.log_in(data.email, data.password, origin_of(request), data.resource)
    if isinstance(outcome, LoggedIn):
        return with_tokens(request, signed_in_body(outcome), outcome.tokens, by_cookie)
    challenge = ChallengeBody(outcome.id, timestamp(outcome.expires_at))
    answer = Response(challenge, status_code=202)
    return answer  # type: ignore[return-value]  # Litestar takes either


@post(
    "/auth/login/2fa",
    opt=PUBLIC,
    status_code=200,
    response_headers=NO_STORE,
    summary="Log in: second step",
    response_description="A token pair, and whose it is",
    responses=failures(
        InvalidTarget,
        ChallengeFailed,
        ChallengeNotFound,
        OriginNotAllowed,
        TooManyAttempts,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("login.code")
async def login_second_step(
    request: JsonRequest, data: JSONBody[ChallengeAnswerBody]
) -> SignedInBody:
    """Answer a challenge with a TOTP or a recovery code. After five wrong ones it is gone."""
    second_step = services_of(request.app).second_step
    by_cookie = await wants_cookie(request)
    opened = await second_step.log_in(
        data.challenge_id, data.code, origin_of(request), data.resource
    )
    return with_tokens(request, signed_in_body(opened), opened.tokens, by_cookie)


ROUTES = [signup, login, login_second_step]
