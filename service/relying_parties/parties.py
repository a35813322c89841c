"""What a relying party is: its client id, and where logout tokens for it go."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from service.errors import InvalidField, RelyingPartyExists
from service.sinks.receivers import Forbidden, Network, receiver_at, refuse

MOST = 32
"""Relying parties that there may be."""

LONGEST_URI = 2_048
"""Characters of a URI."""

_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,99}", re.ASCII)
"""What stands in a path as it is (RFC 3986, section 3.3)."""


class RelyingParty(msgspec.Struct, frozen=True):
    """A registered relying party.

    `id` is that of the registration: another one of the same client has another. `since`: when it
    was made, ms by Redis' clock; it is told of what has ended later. `session_required`: each
    logout token has to name a session.
    """

    id: bytes
    client_id: str
    backchannel_logout_uri: str
    session_required: bool
    since: int
    created_at: datetime

    @property
    def sink(self) -> str:
        """The name of its sink."""
        return "party-" + self.id.hex()

    def says_the_same(self, other: "RelyingParty") -> bool:
        """Tell whether what an operator has said of both is the same."""
        return (self.client_id, self.backchannel_logout_uri, self.session_required) == (
            other.client_id,
            other.backchannel_logout_uri,
            other.session_required,
        )


def registered(parties: Iterable[RelyingParty], new: RelyingParty) -> RelyingParty | None:
    """Return the one of the same client, if it is registered.

    Raises:
        RelyingPartyExists: it says something else.
    """
    for party in parties:
        if party.client_id == new.client_id:
            if not party.says_the_same(new):
                raise RelyingPartyExists
            return party
    return None


def client_id_of(text: str) -> str:
    """Return the id of a client.

    Raises:
        InvalidField: it cannot be one.
    """
    if not _CLIENT_ID.fullmatch(text):
        message = "The client id must have 1 to 100 characters A-Z a-z 0-9 . _ ~ : -"
        raise InvalidField("clientId", f"{message}, and begin with a letter or digit.")
    return text


def uri_of(text: str, allowed: Sequence[Network]) -> str:
    """Return a URI for logout tokens. `allowed`: networks that may be called as they are.

    What its name stands for is looked at with each connection; an address is looked at now.

    Raises:
        InvalidField: it cannot be one, or must not be called.
    """
    field = "backchannelLogoutUri"
    try:
        if len(text) > LONGEST_URI:
            raise ValueError(f"must have at most {LONGEST_URI:,} characters")
        receiver = receiver_at(text)
    except ValueError as error:
        raise InvalidField(field, f"The URI {str(error).replace('URLs', 'URIs')}.") from None
    try:
        address = ipaddress.ip_address(receiver.host)
    except ValueError:
        if not receiver.is_secure and not allowed:
            raise InvalidField(field, "The URI must be https.") from None
        return text
    try:
        refuse(address, receiver.is_secure, allowed)
    except Forbidden as error:
        raise InvalidField(field, f"The URI must not be called: {error}.") from None
    return text
