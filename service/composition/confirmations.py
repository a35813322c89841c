"""Makes what tells how far an end of sessions has come."""

from service.composition.shared import Shared
from service.confirmations.receipts import Receipts


def create_receipts(shared: Shared) -> Receipts:
    """Create what signs receipts. It follows the keys when these change."""
    settings, keys = shared.settings, shared.keys
    receipts = Receipts(
        keys.now.signing, settings.issuer, settings.redis_min_replicas, shared.clock
    )
    keys.follow(lambda now: receipts.use(now.signing))
    return receipts
