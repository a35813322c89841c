"""Operators' calls about relying parties, whose apps are told when sessions end."""

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from service.errors import (
    InvalidField,
    Overloaded,
    RelyingPartyExists,
    RelyingPartyNotFound,
    RevocationUnconfirmed,
    TooManyRelyingParties,
)
from service.operators import documents
from service.relying_parties.administration import NewRelyingParty
from service.web.admin.bodies import NewRelyingPartyBody, ReasonBody, RelyingPartiesBody
from service.web.admin.errors import SECURITY, refusals
from service.web.admin.requests import AdminRequest, needs
from service.web.routes.bodies import NO_STORE


@post(
    "/admin/relying-parties",
    opt=needs("sessions.end", "events.read"),  # the app learns whose sessions end
    status_code=201,
    response_headers=NO_STORE,
    security=SECURITY,
    summary="Register a relying party",
    response_description="It is told of each session that ends from now on",
    responses=refusals(
        InvalidField,
        RelyingPartyExists,
        TooManyRelyingParties,
        RevocationUnconfirmed,
        Overloaded,
        body=True,
    ),
)
async def create_relying_party(
    request: AdminRequest, data: JSONBody[NewRelyingPartyBody]
) -> documents.RelyingPartyDocument:
    """Register an app that is told of each session that ends."""
    why = request.why(data.reason)
    new = NewRelyingParty(data.client_id, data.backchannel_logout_uri, data.session_required)
    party, _ = await request.does.relying_parties.create(
        new, why.origin, by=why.by, reason=why.reason
    )
    return documents.relying_party(party)


@get(
    "/admin/relying-parties",
    opt=needs("events.read"),
    response_headers=NO_STORE,
    security=SECURITY,
    summary="List relying parties",
    response_description="All that are registered, the oldest first",
    responses=refusals(),
)
async def list_relying_parties(request: AdminRequest) -> RelyingPartiesBody:
    """List the relying parties that are registered."""
    parties = await request.does.relying_parties.all()
    return RelyingPartiesBody([documents.relying_party(party) for party in parties])


@delete(
    "/admin/relying-parties/{id:str}",
    opt=needs("sessions.end"),
    status_code=204,
    security=SECURITY,
    summary="Remove a relying party",
    response_description="Nothing is told to it in two seconds",
    responses=refusals(InvalidField, RelyingPartyNotFound, RevocationUnconfirmed, body=True),
)
async def remove_relying_party(
    request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]
) -> None:
    """End the registration of a relying party. What it has yet to hear of is not told."""
    why, parties = request.why(data.reason), request.does.relying_parties
    if party := await parties.find(id):
        await parties.remove(party, why.origin, by=why.by, reason=why.reason)


ROUTES = [create_relying_party, list_relying_parties, remove_relying_party]
