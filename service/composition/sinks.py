"""Makes the sinks that the settings name, and what brings events to them."""

import os
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from service.keyring.keys import KeysInUse
from service.redis.client import RedisClient
from service.settings import Settings
from service.sinks.files import FileSink
from service.sinks.receivers import Receiver, receiver_at
from service.sinks.shipper import Counts, Shipper
from service.sinks.signatures import WebhookKeys, signed_text
from service.sinks.sink import Sink
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


def create_shippers(
    settings: Settings,
    redis: RedisClient,
    engine: AsyncEngine,
    keys: KeysInUse,
    counts: Counts,
) -> Sequence[Shipper]:
    """Create what brings events to each sink; none where no sink is set."""
    owner = os.urandom(16).hex().encode()

    def sign(digest: bytes) -> tuple[str, bytes] | None:
        signing = keys.now.signing
        if not signing.can_sign:
            return None
        return signing.active.kid, signing.active.sign(signed_text(digest))

    return [
        Shipper(redis, sink, owner, sign, counts) for sink in create_sinks(settings, engine, keys)
    ]
