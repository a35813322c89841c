"""Setting a password by the token of a link."""

from litestar import post
from litestar.params import JSONBody

from service.errors import (
    InvalidField,
    InvalidResetToken,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
    WeakPassword,
)
from service.web.authentication import PUBLIC
from service.web.refusals import refusals_audited
from service.web.requests import JsonRequest, origin_of
from service.web.routes.bodies import Body, failures
from service.web.routes.email import MailedBody, mailed_body
from service.web.services import services_of


class PasswordResetBody(Body, frozen=True):
    """The token of the link, which stands there behind `#reset=`, and the password to be."""

    token: str
    password: str


@post(
    "/auth/password/reset",
    opt=PUBLIC,
    status_code=204,
    summary="Set a password by a link",
    response_description="The password is set; all sessions of the account have ended",
    responses=failures(
        InvalidField,
        InvalidResetToken,
        WeakPassword,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("password.reset")
async def reset_password(request: JsonRequest, data: JSONBody[PasswordResetBody]) -> None:
    """Set the password, once. A second factor stays on; nobody is logged in by this."""
    reset = services_of(request.app).password_reset
    await reset.reset(data.token, data.password, origin_of(request))


class ResetRequestBody(Body, frozen=True):
    """Whatever was typed as an address."""

    email: str


@post(
    "/auth/password/reset/request",
    opt=PUBLIC,
    status_code=202,
    summary="Ask for a link by which to set a password",
    response_description="A link is mailed, if an account has this address",
    responses=failures(TooManyAttempts, StoreUnavailable, RevocationUnconfirmed, body=True),
)
@refusals_audited("password.resetRequest")
async def request_reset(request: JsonRequest, data: JSONBody[ResetRequestBody]) -> MailedBody:
    """Mail a link to an account's address. One answer for everybody, in the same time.

    Not there without mail (404).
    """
    use_case = services_of(request.app).reset_requests
    return mailed_body(await use_case.request(data.email, origin_of(request)))


ROUTES = [reset_password]
MAILING = [request_reset]
"""Routes that are there only where mail is on."""
