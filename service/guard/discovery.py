"""Where the primary of a bucket is, on each topology.

A guard's user may be allowed nothing but XREAD, so a cluster is not asked for its map: a node that
is asked for another's slot names the right one (MOVED, or ASK while the slot is moving).
"""

import asyncio

from redis.exceptions import AskError, MovedError, ResponseError

from ..redis.url import Address, RedisUrl
from .connection import BROKEN, Connection
from .sentinels import Sentinels


class PrimaryDiscovery:
    """Finds the server that has a bucket's keys, and connects to it."""

    def __init__(self, url: RedisUrl, patience: float) -> None:
        """Know the URL. `patience`: seconds for a connection, and for an answer of a Sentinel."""
        self._url = url
        self._patience = patience
        self._hosts: list[Address] = list(url.hosts)
        self._homes: dict[int, Address] = {}
        self._importing: set[int] = set()
        self._sentinels = Sentinels(url, patience)
        self._one_at_a_time = asyncio.Lock()

    @property
    def one_for_all(self) -> bool:
        """Whether one server has the keys of all buckets."""
        return self._url.topology != "cluster"

    async def find(self, bucket: int) -> Address | None:
        """Find the address of the server that has this bucket's keys; None: the socket file.

        Asks the Sentinels, where there are some. In a cluster it is the node that was right before,
        or any: that one will name another.

        Raises:
            one of BROKEN: no majority of the Sentinels names one.
        """
        if self._url.topology == "sentinel":
            async with self._one_at_a_time:
                return await self._sentinels.primary()
        if not self._hosts:
            return None
        return self._homes.get(bucket, self._hosts[0])

    async def connect(self, bucket: int, address: Address | None) -> Connection:
        """Connect to what `find` has found.

        Raises:
            one of BROKEN: it cannot be reached.
        """
        try:
            wire = await Connection.to(
                self._url, address, self._patience, asking=self.is_importing(bucket)
            )
        except BROKEN:
            self.lost(bucket)
            raise
        if address is not None:
            self._homes[bucket] = address
        return wire

    def is_importing(self, bucket: int) -> bool:
        """Tell whether what `find` has found is still importing the bucket's slot."""
        return bucket in self._importing

    def redirected(self, bucket: int, refusal: ResponseError, by: Address | None) -> bool:
        """Go where a refusal sends us, which `find` then finds. Whether it named another node."""
        if not isinstance(refusal, AskError):  # which MOVED is a kind of
            return False
        host = refusal.host or (by[0] if by else "")  # an empty one: the same as was asked
        self._homes[bucket] = (host, refusal.port)
        if isinstance(refusal, MovedError):
            self._importing.discard(bucket)
        else:
            self._importing.add(bucket)
        return True

    def lost(self, bucket: int) -> None:
        """Ask another node next time: the one that `find` had found is gone."""
        self._importing.discard(bucket)
        gone = self._homes.pop(bucket, None)
        if self._url.topology == "cluster":
            others = {*self._url.hosts, *self._homes.values()} - {gone}
            first, *rest = [host for host in self._hosts if host in others] or self._url.hosts
            self._hosts = [*rest, *sorted(others - {first, *rest}), first]

    async def aclose(self) -> None:
        """Hang up on the Sentinels."""
        await self._sentinels.aclose()
