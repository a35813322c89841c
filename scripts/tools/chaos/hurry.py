"""Time that runs faster for sinks: hours of a receiver's absence, in seconds.

Waits between two tries and leases are divided; what is tried, how often, and in which order, is as
it is. A try may take as long as ever, and so may an answer.
"""

from datetime import timedelta
from typing import Any

BACKOFF, LEASES = 600, 10
"""By how much waits for a receiver are divided, and leases, which a busy machine must prolong."""


def hurry() -> None:
    """Divide them, before anything of sinks is imported."""
    from service.redis import scripts

    declare = scripts.script

    def hurried(*paths: str, **options: Any) -> Any:
        constants = options.get("constants") or {}
        if "LEASE" in constants:
            options["constants"] = {**constants, "LEASE": constants["LEASE"] // LEASES}
        return declare(*paths, **options)

    scripts.script = hurried
    from service.sinks import state

    scripts.script = declare
    state.LEASE //= LEASES
    from service.sinks import shipper, webhooks
    from service.sinks.sink import Retries

    shipper._ELSEWHERE /= LEASES
    usual = webhooks.WebhookSink.retries
    webhooks.WebhookSink.retries = Retries(
        usual.first / BACKOFF, max(usual.longest / BACKOFF, timedelta(seconds=1)), usual.most
    )
