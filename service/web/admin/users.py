"""Operators' calls about accounts."""

from functools import partial

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from service.accounts.user_rows import User
from service.errors import (
    InvalidField,
    KeyServiceUnavailable,
    MailOff,
    Overloaded,
    RevocationUnconfirmed,
    UserNotFound,
)
from service.web.admin.bodies import (
    AccountDetailsBody,
    AccountsBody,
    EndedBody,
    ReasonBody,
    account_body,
    details_body,
)
from service.web.admin.errors import SECURITY, refusals
from service.web.admin.requests import AdminRequest, Query, needs, user_id_in
from service.web.routes.bodies import NO_STORE

_FULL_OUTBOX = 60
"""Seconds after which a link may be mailed for which there was no room."""

_CHANGES = refusals(InvalidField, UserNotFound, RevocationUnconfirmed, body=True)

_change = partial(
    post, opt=needs("users.write"), status_code=204, security=SECURITY, responses=_CHANGES
)
"""Makes the route of a change of an account that answers nothing."""


@get(
    "/admin/users",
    opt=needs("users.read") | {"query": ("email", "after", "limit")},
    response_headers=NO_STORE,
    security=SECURITY,
    summary="List accounts",
    response_description="A page of accounts",
    responses=refusals(InvalidField),
)
async def list_users(request: AdminRequest) -> AccountsBody:
    """List accounts by id, or find the one with an address: none, if there is none."""
    query = Query(request)
    after, limit = query.id("after", 16), query.limit()
    lookup = request.does.lookup
    if (email := query.text("email")) is not None:
        found = await lookup.with_address(email)
        return AccountsBody([account_body(user) for user in found], None)
    users, more = await lookup.page(after, limit)
    return AccountsBody(
        [account_body(user) for user in users], users[-1].id.hex() if more else None
    )


@get(
    "/admin/users/{id:str}",
    opt=needs("users.read"),
    response_headers=NO_STORE,
    security=SECURITY,
    summary="Show an account",
    response_description="Account, living sessions, limits in force",
    responses=refusals(UserNotFound),
)
async def show_user(request: AdminRequest, id: FromPath[str]) -> AccountDetailsBody:
    """Show an account with its living sessions and the limits that it has reached."""
    does, user = request.does, await _user(request, id)
    try:
        return details_body(await does.lookup.details(user, does.limits))
    except KeyServiceUnavailable:  # all but the limits can be told
        return details_body(await does.lookup.details(user, None))


@_change(
    "/admin/users/{id:str}/disable",
    summary="Disable an account",
    response_description="Nobody logs in or refreshes; all sessions have ended",
)
async def disable_user(
    request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]
) -> None:
    """End all sessions, and let nobody log in or refresh."""
    why = request.why(data.reason)
    await request.does.accounts.disable(await _user(request, id), why)


@_change(
    "/admin/users/{id:str}/enable",
    summary="Enable an account",
    response_description="The person can log in again",
)
async def enable_user(request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]) -> None:
    """Let the person log in again. Sessions of before stay ended."""
    why = request.why(data.reason)
    await request.does.accounts.enable(await _user(request, id), why)


@_change(
    "/admin/users/{id:str}/unlock",
    summary="Forgive limits",
    response_description="No limit is in force",
)
async def unlock_user(request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]) -> None:
    """Forgive the limits on wrong passwords and codes, from every network."""
    why, does = request.why(data.reason), request.does
    await does.accounts.unlock(await _user(request, id), does.limits, why)


@post(
    "/admin/users/{id:str}/logout",
    opt=needs("sessions.end"),
    status_code=200,
    security=SECURITY,
    summary="End all sessions of an account",
    response_description="How many sessions have ended",
    responses=_CHANGES,
)
async def log_user_out(
    request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]
) -> EndedBody:
    """End all sessions of the account."""
    why = request.why(data.reason)
    user = await _user(request, id)
    return EndedBody(await request.does.sessions.end_all(user.id, why))


@_change(
    "/admin/users/{id:str}/2fa/disable",
    summary="Take the second factor away",
    response_description="Factor, recovery codes and all sessions are gone",
)
async def reset_second_factor(
    request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]
) -> None:
    """Take the second factor away with its recovery codes, and end all sessions."""
    why = request.why(data.reason)
    await request.does.accounts.reset_second_factor(await _user(request, id), why)


@post(
    "/admin/users/{id:str}/password-reset",
    opt=needs("users.write"),
    status_code=204,
    security=SECURITY,
    summary="Mail a link for a new password",
    response_description="The link is mailed",
    responses=refusals(InvalidField, UserNotFound, MailOff, RevocationUnconfirmed, body=True),
)
async def mail_reset_link(
    request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]
) -> None:
    """Mail a link for a new password to the address of the account."""
    why = request.why(data.reason)
    user = await _user(request, id)
    links = request.does.reset_links
    if not await links.mail(user, why.origin, reason=why.reason, by=why.by):
        raise Overloaded(_FULL_OUTBOX)


@delete(
    "/admin/users/{id:str}",
    opt=needs("users.write"),
    status_code=204,
    security=SECURITY,
    summary="Delete an account",
    response_description="The account is gone, with all that belongs to it but its events",
    responses=_CHANGES,
)
async def delete_user(request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]) -> None:
    """Delete the account, as its person can."""
    why = request.why(data.reason)
    await request.does.accounts.delete(user_id_in(id), why)


async def _user(request: AdminRequest, id: str) -> User:
    return await request.does.lookup.find(user_id_in(id).hex())


ROUTES = [
    list_users,
    show_user,
    disable_user,
    enable_user,
    unlock_user,
    log_user_out,
    reset_second_factor,
    mail_reset_link,
    delete_user,
]
