"""What operators are told, as JSON: the same on the command line and over their HTTP."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from service.api_keys.keys import ApiKey
from service.authentication.account_limits import LimitInForce
from service.clock import timestamp
from service.relying_parties.parties import RelyingParty
from service.sessions.record import Session

Timestamp = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601, UTC, with milliseconds and `Z`."""


class ApiKeyDocument(msgspec.Struct, frozen=True, rename="camel"):
    """An API key, without its text. `lastUsedAt` is some minutes behind."""

    id: str
    name: str
    scopes: Sequence[str]
    created_at: Timestamp
    expires_at: Timestamp | None
    revoked_at: Timestamp | None
    last_used_at: Timestamp | None


class SessionDocument(msgspec.Struct, frozen=True, rename="camel"):
    """A living session as operators see it."""

    id: str
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp
    ip_address: str | None
    user_agent: str | None


class LimitDocument(msgspec.Struct, frozen=True, rename="camel"):
    """A limit that is reached, and for how many seconds."""

    limit: str
    retry_after: int


class RelyingPartyDocument(msgspec.Struct, frozen=True, rename="camel"):
    """A relying party. `sink` is what it is called in metrics, and where events are replayed."""

    client_id: str
    backchannel_logout_uri: str
    session_required: bool
    sink: str
    created_at: Timestamp


def api_key(of: ApiKey) -> ApiKeyDocument:
    """Describe an API key."""
    return ApiKeyDocument(
        id=of.id.hex(),
        name=of.name,
        scopes=of.scopes,
        created_at=timestamp(of.created_at),
        expires_at=at(of.expires_at),
        revoked_at=at(of.revoked_at),
        last_used_at=at(of.last_used_at),
    )


def session(of: Session) -> SessionDocument:
    """Describe a living session."""
    return SessionDocument(
        id=of.id.hex(),
        created_at=timestamp(of.opened_at),
        last_used_at=timestamp(of.last_used_at),
        expires_at=timestamp(of.expires_at),
        ip_address=of.ip_address,
        user_agent=of.user_agent,
    )


def limit(of: LimitInForce) -> LimitDocument:
    """Describe a limit that is reached."""
    return LimitDocument(of.limit, of.retry_after)


def relying_party(of: RelyingParty) -> RelyingPartyDocument:
    """Describe a relying party."""
    return RelyingPartyDocument(
        client_id=of.client_id,
        backchannel_logout_uri=of.backchannel_logout_uri,
        session_required=of.session_required,
        sink=of.sink,
        created_at=timestamp(of.created_at),
    )


def at(moment: datetime | None) -> str | None:
    """Spell a time, if there is one."""
    return None if moment is None else timestamp(moment)
