"""Makes the sinks that the settings name, and what brings events to them."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from service.composition.relying_parties import create_relying_party_shippers
from service.composition.shared import create_redis_client
from service.keyring.keys import KeysInUse
from service.redis.client import RedisClient
from service.relying_parties.following import RelyingPartyShippers
from service.relying_parties.sink import TokenCounts
from service.settings import Settings
from service.sinks.files import FileSink
from service.sinks.receivers import Receiver, receiver_at
from service.sinks.shipper import Shipper
from service.sinks.signatures import WebhookKeys, signed_text
from service.sinks.sink import Counts, Sink
from service.sinks.sql import SqlSink
from service.sinks.webhooks import WebhookSink


def create_sinks(settings: Settings, engine: AsyncEngine, keys: KeysInUse) -> list[Sink]:
    """Create the sinks. Those of webhooks follow `keys` when these change."""
    sinks: list[Sink] = []
    if settings.sink_file is not None:
        sinks.append(FileSink(Path(settings.sink_file)))
    if settings.sink_sql:
        sinks.append(SqlSink(engine))
    for url in settings.sink_webhooks:
        receiver = receiver_at(url)

        def keys_now(receiver: Receiver = receiver) -> WebhookKeys | None:
            key = keys.now.email_digest_key
            return WebhookKeys(key, receiver.url) if key else None

        sinks.append(WebhookSink(receiver, keys_now, settings.sink_networks))
    return sinks


class Shippers:
    """What brings events to all sinks, over connections of its own: requests wait for no batch."""

    def __init__(
        self,
        redis: RedisClient,
        shippers: Sequence[Shipper],
        parties: RelyingPartyShippers,
        names: Sequence[str],
    ) -> None:
        """Take over the client. `names`: of all sinks, those of relying parties at the moment."""
        self._redis = redis
        self._shippers = shippers
        self._parties = parties
        self.names = names

    async def run(self) -> None:
        """Bring events on until it is cancelled; then close the connections."""
        try:
            await asyncio.gather(
                self._parties.run(), *(shipper.run() for shipper in self._shippers)
            )
        finally:
            await self._redis.aclose()


def create_shippers(
    settings: Settings,
    beside: RedisClient,
    engine: AsyncEngine,
    keys: KeysInUse,
    counts: Counts,
    token_counts: TokenCounts,
) -> Shippers:
    """Create what brings events to each sink of the settings, and to each relying party."""
    redis = create_redis_client(settings, replicas=0, beside=beside)
    owner = os.urandom(16).hex().encode()

    def sign(digest: bytes) -> tuple[str, bytes] | None:
        signing = keys.now.signing
        if not signing.can_sign:
            return None
        return signing.active.kid, signing.active.sign(signed_text(digest))

    sinks = create_sinks(settings, engine, keys)
    names = [sink.name for sink in sinks]
    parties = create_relying_party_shippers(
        settings, redis, engine, keys, owner, counts, token_counts, names
    )
    shippers = [Shipper(redis, sink, owner, sign, counts) for sink in sinks]
    return Shippers(redis, shippers, parties, names)
