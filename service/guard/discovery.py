"""Finds the primary of a bucket, on each topology, and connects to it."""

import asyncio

from redis.exceptions import ResponseError

from ..redis.url import Address, RedisUrl
from .cluster_primaries import ClusterPrimaries
from .connection import BROKEN, Connection
from .sentinels import Sentinels


class PrimaryDiscovery:
    """Finds the server that has a bucket's keys, and connects to it."""

    def __init__(self, url: RedisUrl, patience: float) -> None:
        """Know the URL. `patience`: seconds for a connection, and for an answer of a Sentinel."""
        self._url = url
        self._patience = patience
        self._cluster = ClusterPrimaries(url, patience)
        self._sentinels = Sentinels(url, patience)
        self._one_at_a_time = asyncio.Lock()

    @property
    def one_for_all(self) -> bool:
        """Whether one server has the keys of all buckets."""
        return self._url.topology != "cluster"

    async def find(self, bucket: int) -> Address | None:
        """Find the address of the server that has this bucket's keys; None: the socket file.

        Ask the Sentinels, where there are some. In a cluster it is the node that has the bucket by
        the map or was right before, or any: that one will name another.

        Raises:
            one of BROKEN: no majority of the Sentinels names one.
        """
        if self._url.topology == "sentinel":
            async with self._one_at_a_time:
                return await self._sentinels.primary()
        return self._cluster.find(bucket)

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
            self.discard(bucket)
            raise
        self.reached(bucket, address)
        return wire

    async def connect_for_several(self, address: Address | None) -> Connection:
        """Connect to what `find` has found for some buckets, of which none is being imported.

        Raises:
            one of BROKEN: it cannot be reached.
        """
        return await Connection.to(self._url, address, self._patience)

    def reached(self, bucket: int, address: Address | None) -> None:
        """Note that a server answers, so that it is asked for this bucket again."""
        if address is not None:
            self._cluster.reached(bucket, address)

    async def connect_to_importing(self, address: Address) -> Connection:
        """Connect to a node that is importing slots.

        Raises:
            one of BROKEN: it cannot be reached.
        """
        return await Connection.to(self._url, address, self._patience, asking=True)

    def is_importing(self, bucket: int) -> bool:
        """Tell whether what `find` has found is still importing the bucket's slot."""
        return self._cluster.is_importing(bucket)

    def redirected(self, bucket: int, refusal: ResponseError, by: Address | None) -> bool:
        """Go where a refusal sends us, which `find` then finds. Return whether it named a node.

        A node of a cluster that names none is of no use: another is asked next time.
        """
        if self._cluster.redirected(bucket, refusal, by):
            return True
        self.discard(bucket)
        return False

    def discard(self, bucket: int) -> None:
        """Ask another node next time: the one that `find` had found is gone."""
        self._cluster.discard(bucket)

    async def aclose(self) -> None:
        """Disconnect from nodes and Sentinels."""
        await self._cluster.aclose()
        await self._sentinels.aclose()
