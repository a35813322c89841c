"""Makes what tells relying parties of the end of sessions."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.clock import system_clock
from service.keyring.keys import KeysInUse
from service.redis.client import RedisClient
from service.relying_parties.administration import RelyingPartyAdministration
from service.relying_parties.following import RelyingPartyShippers
from service.relying_parties.logout_tokens import LogoutTokens
from service.relying_parties.parties import RelyingParty
from service.relying_parties.sink import RelyingPartySink, TokenCounts
from service.relying_parties.store import RelyingPartyStore
from service.settings import Settings
from service.sinks.batch import unsigned
from service.sinks.shipper import Shipper
from service.sinks.sink import Counts
from service.sinks.tails import Tails


def create_relying_parties(
    settings: Settings, redis: RedisClient, engine: AsyncEngine
) -> RelyingPartyAdministration:
    """Create what operators do with relying parties."""
    return RelyingPartyAdministration(
        redis, RelyingPartyStore(engine), system_clock, settings.sink_networks
    )


def create_relying_party_shippers(
    settings: Settings,
    redis: RedisClient,
    engine: AsyncEngine,
    keys: KeysInUse,
    owner: bytes,
    counts: Counts,
    tokens: TokenCounts,
    names: list[str],
) -> RelyingPartyShippers:
    """Create what has a shipper run for each, with its sink among `names`."""
    signer = LogoutTokens(lambda: keys.now.signing, settings.issuer, system_clock)

    def create(party: RelyingParty, tails: Tails) -> Shipper:
        sink = RelyingPartySink(party, signer, tokens, settings.sink_networks)
        return Shipper(redis, sink, owner, unsigned, counts, tails)

    store = RelyingPartyStore(engine)
    return RelyingPartyShippers(store, redis, system_clock, create, counts, names)
