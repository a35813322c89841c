"""Bodies of operators' calls about relying parties."""

from service.clock import timestamp
from service.relying_parties.parties import RelyingParty
from service.web.routes.bodies import Body, Timestamp


class NewRelyingPartyBody(Body, frozen=True):
    """The relying party to register. `sessionRequired`: each logout token has to name a session."""

    reason: str
    client_id: str
    backchannel_logout_uri: str
    session_required: bool = True


class RelyingPartyBody(Body, frozen=True):
    """A relying party. `sink` is what it is called in metrics, and where events are replayed."""

    client_id: str
    backchannel_logout_uri: str
    session_required: bool
    sink: str
    created_at: Timestamp


class RelyingPartiesBody(Body, frozen=True):
    """All relying parties that are registered, the oldest first."""

    relying_parties: list[RelyingPartyBody]


def party_body(party: RelyingParty) -> RelyingPartyBody:
    """Make the body of a relying party."""
    return RelyingPartyBody(
        client_id=party.client_id,
        backchannel_logout_uri=party.backchannel_logout_uri,
        session_required=party.session_required,
        sink=party.sink,
        created_at=timestamp(party.created_at),
    )
