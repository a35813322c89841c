"""Verifying an address, changing it, and undoing that."""

from datetime import timedelta

from litestar import post
from litestar.params import JSONBody

from service.errors import (
    AlreadyVerified,
    AuthenticationNotRecent,
    EmailTaken,
    InvalidAccessToken,
    InvalidField,
    InvalidVerificationToken,
    Overloaded,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
)
from service.web.authentication import BEARER, PUBLIC
from service.web.requests import JsonRequest, origin_of
from service.web.routes.bodies import NO_STORE, Body, UserBody, failures, user_body
from service.web.services import services_of


class MailedBody(Body, frozen=True):
    """A mail is on its way, if anybody is to get it. `expiresIn`: the life of its link, seconds."""

    expires_in: int


class EmailTokenBody(Body, frozen=True):
    """The token of the link, which stands there behind `#verify=`, `#change=` or `#undo=`."""

    token: str


class NewEmailBody(Body, frozen=True):
    """The address that is to be the account's."""

    email: str


class VerifiedBody(Body, frozen=True):
    """The account as it is now."""

    user: UserBody


def mailed_body(life: timedelta) -> MailedBody:
    """Make the body of a link that is mailed."""
    return MailedBody(int(life.total_seconds()))


@post(
    "/auth/email/verify/request",
    status_code=202,
    security=BEARER,
    summary="Ask for a mail that verifies the address",
    response_description="A link is mailed, unless several were of late",
    responses=failures(
        AlreadyVerified,
        InvalidAccessToken,
        TooManyAttempts,
        StoreUnavailable,
        RevocationUnconfirmed,
    ),
)
async def request_verification(request: JsonRequest) -> MailedBody:
    """Mail a link to the account's address: 3 an hour, 10 a day. Not there without mail (404)."""
    use_case = services_of(request.app).email_verification
    return mailed_body(await use_case.request(request.user, origin_of(request)))


@post(
    "/auth/email/verify",
    opt=PUBLIC,
    status_code=200,
    response_headers=NO_STORE,
    summary="Verify an address by a link",
    response_description="The address is verified",
    responses=failures(
        InvalidVerificationToken, StoreUnavailable, RevocationUnconfirmed, body=True
    ),
)
async def verify_email(request: JsonRequest, data: JSONBody[EmailTokenBody]) -> VerifiedBody:
    """Verify the address to which the link was mailed, once, from whatever device."""
    use_case = services_of(request.app).email_verification
    return VerifiedBody(user_body(await use_case.verify(data.token, origin_of(request))))


@post(
    "/auth/email/change",
    status_code=202,
    security=BEARER,
    summary="Ask for another address",
    response_description="A link is mailed to that address, unless several were of late",
    responses=failures(
        InvalidField,
        AuthenticationNotRecent,
        InvalidAccessToken,
        TooManyAttempts,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
async def change_email(request: JsonRequest, data: JSONBody[NewEmailBody]) -> MailedBody:
    """Mail a link to another address; the account's gets a notice. Not there without mail (404)."""
    use_case = services_of(request.app).email_change
    return mailed_body(await use_case.request(request.user, data.email, origin_of(request)))


@post(
    "/auth/email/change/confirm",
    opt=PUBLIC,
    status_code=200,
    response_headers=NO_STORE,
    summary="Confirm another address by a link",
    response_description="The account has that address; all sessions but the one that asked ended",
    responses=failures(
        InvalidVerificationToken,
        EmailTaken,
        Overloaded,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
async def confirm_change(request: JsonRequest, data: JSONBody[EmailTokenBody]) -> VerifiedBody:
    """Give the account the address to which the link was mailed. The old one can undo it."""
    use_case = services_of(request.app).email_change
    return VerifiedBody(user_body(await use_case.confirm(data.token, origin_of(request))))


@post(
    "/auth/email/change/undo",
    opt=PUBLIC,
    status_code=200,
    response_headers=NO_STORE,
    summary="Undo a change of the address by a link",
    response_description="The address of before counts; sessions have ended, the password is void",
    responses=failures(
        InvalidVerificationToken, StoreUnavailable, RevocationUnconfirmed, body=True
    ),
)
async def undo_change(request: JsonRequest, data: JSONBody[EmailTokenBody]) -> VerifiedBody:
    """Give the account its address of before, for 72 hours after a change."""
    use_case = services_of(request.app).email_change
    return VerifiedBody(user_body(await use_case.undo(data.token, origin_of(request))))


ROUTES = [verify_email, confirm_change, undo_change]
MAILING = [request_verification, change_email]
"""Routes that are there only where mail is on."""
