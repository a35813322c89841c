"""Operators' calls about sessions, audit events and guards."""

import re

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from service.errors import InvalidField, RevocationUnconfirmed, SessionNotFound, UserNotFound
from service.operators.lookup import user_id_of
from service.web.admin.bodies import CutOffBody, EventsBody, GuardsBody, ReasonBody
from service.web.admin.errors import SECURITY, refusals
from service.web.admin.requests import AdminRequest, Query, needs
from service.web.metrics.outcomes import ended
from service.web.routes.bodies import NO_STORE

_SESSION_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)
_EVERYBODY = "everybody"


@delete(
    "/admin/sessions/{id:str}",
    opt=needs("sessions.end") | {"query": ("user",)},
    status_code=204,
    security=SECURITY,
    summary="End one session",
    response_description="The session has ended",
    responses=refusals(
        InvalidField, UserNotFound, SessionNotFound, RevocationUnconfirmed, body=True
    ),
)
async def end_session(request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]) -> None:
    """End one session of the account that the query names, by id or address."""
    why = request.why(data.reason)
    user = Query(request).text("user")
    if user is None:
        raise InvalidField("user", "The query must say whose session it is: ?user=<id>.")
    found = await request.does.lookup.find(user)
    if not _SESSION_ID.fullmatch(id):
        raise SessionNotFound
    ended("operator", int(await request.does.sessions.end(found.id, bytes.fromhex(id), why)))


@post(
    "/admin/cutoff",
    opt=needs("sessions.end"),
    status_code=204,
    security=SECURITY,
    summary="End everybody's sessions",
    response_description="Everybody's sessions have ended",
    responses=refusals(InvalidField, RevocationUnconfirmed, body=True),
)
async def cut_off(request: AdminRequest, data: JSONBody[CutOffBody]) -> None:
    """End the sessions of everybody, on all pods, in one step."""
    if data.confirm != _EVERYBODY:
        raise InvalidField("confirm", f'The field confirm must say "{_EVERYBODY}".')
    await request.does.sessions.end_everybody(request.why(data.reason))


@get(
    "/admin/events",
    opt=needs("events.read") | {"query": ("user", "type", "after", "limit")},
    response_headers=NO_STORE,
    security=SECURITY,
    summary="Audit events",
    response_description="A page of events, newest first",
    responses=refusals(InvalidField, UserNotFound),
)
async def list_events(request: AdminRequest) -> EventsBody:
    """List the audit events that are kept, newest first, of all users or one."""
    query = Query(request)
    user_id = None
    if (user := query.text("user")) is not None:
        user_id = user_id_of(user) or (await request.does.lookup.find(user)).id
    page = await request.does.events.page(
        user=user_id, type=query.text("type"), after=query.text("after"), limit=query.limit()
    )
    return EventsBody([event.document() for event in page.events], page.next)


@get(
    "/admin/guards",
    opt=needs("events.read"),
    response_headers=NO_STORE,
    security=SECURITY,
    summary="Guards",
    response_description="Each guard that has said something in the last 15 s",
    responses=refusals(),
)
async def list_guards(request: AdminRequest) -> GuardsBody:
    """List the guards: pod, mode, how far behind, and when each was last seen."""
    return GuardsBody([each.document() for each in await request.does.guards.all()])


ROUTES = [end_session, cut_off, list_events, list_guards]
