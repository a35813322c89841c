"""What Redis holds before and after: keys and bytes, the streams of events apart."""

import asyncio
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, numbered

_BYTES_OF = "return redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0)"
"""A script, because a link finds the server of a script in a cluster by its key."""


class Holdings(msgspec.Struct, frozen=True):
    """Of all primaries together."""

    keys: int
    """Without streams of events."""
    bytes: int
    """Allocated, without streams of events and without what clients and the log have in buffers."""
    event_bytes: int
    """Of the streams of events, which are capped: so they are no cost of a session."""

    def since(self, before: "Holdings") -> "Holdings":
        """Count what has been added."""
        return Holdings(
            self.keys - before.keys,
            self.bytes - before.bytes,
            self.event_bytes - before.event_bytes,
        )


async def holdings(redis_client: RedisClient) -> Holdings | None:
    """Ask what Redis holds; `None` where its user may not, as one with the least rights.

    Raises:
        StoreUnavailable
    """
    try:
        infos = [_fields(info) for info in await redis_client.ask_all("INFO", "memory")]
        keys = sum(await redis_client.ask_all("DBSIZE"))
        streams = await asyncio.gather(
            *(
                redis_client.execute("EVAL", _BYTES_OF, 1, numbered(bucket).events)
                for bucket in range(BUCKETS)
            )
        )
    except ResponseError:
        return None
    events = [size for size in streams if size is not None]
    used = sum(_used(info) for info in infos)
    return Holdings(keys - len(events), used - sum(events), sum(events))


def _used(info: dict[str, str]) -> int:
    buffers = ("mem_clients_normal", "mem_clients_slaves", "mem_aof_buffer")
    return int(info["used_memory"]) - sum(int(info.get(name, 0)) for name in buffers)


def _fields(info: Any) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode().splitlines())
    return {name: value.strip() for name, separator, value in lines if separator}
