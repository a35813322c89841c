"""Makes what tells how far an end of sessions has come."""

from service.composition.shared import Shared, create_redis_client
from service.confirmations.receipts import Receipts
from service.redis.client import RedisClient
from service.redis.heartbeats import Heartbeats, needed_acknowledgements
from service.settings import Settings


def create_receipts(shared: Shared) -> Receipts:
    """Create what signs receipts. It follows the keys when these change."""
    settings, keys = shared.settings, shared.keys
    receipts = Receipts(
        keys.now.signing, settings.issuer, settings.redis_min_replicas, shared.clock
    )
    keys.follow(lambda now: receipts.use(now.signing))
    return receipts


def create_heartbeats(settings: Settings, beside: RedisClient) -> tuple[Heartbeats, RedisClient]:
    """Create what writes heartbeats, and the client that it has for itself, `beside` another."""
    replicas = settings.redis_min_replicas
    redis = create_redis_client(settings, replicas=needed_acknowledgements(replicas), beside=beside)
    return Heartbeats(redis, on=replicas > 0 and settings.feed_kinds >= 3), redis
