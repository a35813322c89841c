"""The sink that posts each event to a URL, by Standard Webhooks (standardwebhooks.com)."""

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec

from service.events.event import AuditEvent
from service.sinks.batch import Batch
from service.sinks.posting import Line, Lines, PostFailed
from service.sinks.receivers import Forbidden, Network, Receiver
from service.sinks.signatures import WebhookKeys
from service.sinks.sink import Retries, SinkFailed


class WebhookSink:
    """Posts to a receiver. An event has arrived once that has answered with 2xx."""

    at_once = 100
    retries = Retries(timedelta(seconds=5), timedelta(hours=1), 12)

    def __init__(
        self,
        receiver: Receiver,
        keys: Callable[[], WebhookKeys | None],
        allowed: Sequence[Network] = (),
    ) -> None:
        """Connect to nothing yet. `keys`: those of this receiver, `None` while they are closed."""
        self.name = webhook_name(receiver.url)
        # Also where Redis was emptied and knows no more how far we had got: all there came since.
        self.starts_behind = f"{int(time.time() * 1000)}-0"
        self._keys = keys
        self._lines = Lines(receiver, allowed)

    async def deliver(self, batch: Batch, seconds: float) -> int:
        """Post one after the other. `webhook-id` is the event's id, also when it comes again."""
        until = time.monotonic() + seconds
        line = self._lines.of(batch.bucket)
        for arrived, event in enumerate(batch.events):
            if time.monotonic() > until:
                return arrived
            await self._post(line, event, arrived)
        return len(batch.events)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._lines.aclose()

    async def _post(self, line: Line, event: AuditEvent, arrived: int) -> None:
        keys = self._keys()
        if keys is None:
            raise SinkFailed("the keys are not open", arrived)
        body, now = body_of(event), int(time.time())
        headers = {
            "webhook-id": event.id,
            "webhook-timestamp": str(now),
            "webhook-signature": keys.sign(event.id, now, body),
        }
        try:
            status = await line.post(headers, body)
        except (PostFailed, Forbidden) as error:
            raise SinkFailed(str(error), arrived) from None
        if not 200 <= status < 300:
            raise SinkFailed(f"it has answered with {status}", arrived)


def webhook_name(url: str) -> str:
    """Name the sink of a URL: what the URL holds may be a secret."""
    return "webhook-" + hashlib.sha256(url.encode()).hexdigest()[:12]


def body_of(event: AuditEvent) -> bytes:
    """Spell the body: type and time, and all else of the event as `data`."""
    data = {name: value for name, value in event.fields.items() if name != "type"}
    return msgspec.json.encode(
        {"type": event.type, "timestamp": event.at, "data": {"id": event.id, **data}}
    )
