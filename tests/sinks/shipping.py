"""A shipper in this process, and what it counts."""

from collections import Counter
from datetime import timedelta

from service.events.event import Position
from service.keyring import signing
from service.keyring.signing import SigningKeys
from service.redis.client import RedisClient
from service.sinks.batch import Batch
from service.sinks.shipper import Shipper
from service.sinks.signatures import signed_text
from service.sinks.sink import Retries, Sink, SinkFailed

KEYS = SigningKeys([signing.mint()])


def sign(digest: bytes) -> tuple[str, bytes]:
    return KEYS.active.kid, KEYS.active.sign(signed_text(digest))


class Told:
    """What a shipper counts."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()
        self.last_lag = 0.0

    def sent(self, sink: str, events: int) -> None:
        self.of["sent"] += events

    def failed(self, sink: str) -> None:
        self.of["failed"] += 1

    def parked(self, sink: str) -> None:
        self.of["parked"] += 1

    def lag(self, sink: str, seconds: float) -> None:
        self.last_lag = seconds


class ListSink:
    """A sink that keeps what arrives, and fails as a test wants it to."""

    name = "list"
    starts_behind = "0-0"
    at_once = 10
    retries = Retries(timedelta(0), timedelta(0), 3)

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.failing: set[str] = set()
        self.down = False

    async def deliver(self, batch: Batch, seconds: float) -> int:
        for number, event in enumerate(batch.events):
            if self.down or event.id in self.failing:
                raise SinkFailed("as wanted", number)
            self.arrived.append(event.id)
        return len(batch.events)

    async def aclose(self) -> None:
        """Nothing to close."""


def shipper(
    redis: RedisClient, sink: Sink, owner: bytes = b"a", told: Told | None = None
) -> Shipper:
    return Shipper(redis, sink, owner, sign, told or Told())


async def bring(*shippers: Shipper, looks: int = 1) -> None:
    """Look so often, and wait for what that has begun."""
    for _ in range(looks):
        for each in shippers:
            await each.look()
        for each in shippers:
            await each.settle()


def in_order(ids: list[str]) -> bool:
    """Whether events of each stream stand in their order."""
    places = [Position.parse(each) for each in ids]
    return all(
        [each for each in places if each.bucket == bucket]
        == sorted(each for each in places if each.bucket == bucket)
        for bucket in range(64)
    )
