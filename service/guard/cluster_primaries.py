"""Finds where the buckets of a cluster lie, by the map that most nodes tell, and by redirections.

The map is the one that the service goes by (`redis/cluster_map.py`), looked at every two seconds
beside the reading: so nobody waits for it, and a node that has left the cluster, and answers as if
it had not, is left. Between two looks a node that is asked for another's slot names the right one
(MOVED, or ASK while the slot is moving). That alone leads a guard whose user may not ask for maps.
"""

import asyncio
import time

from redis.exceptions import AskError, MovedError, NoPermissionError, ResponseError

from ..redis.cluster_map import (
    ClusterMap,
    Maps,
    agreed,
    by_cluster,
    continued,
    members_of,
    told_by_most,
)
from ..redis.url import Address, RedisUrl
from .connection import BROKEN, Connection
from .rate_limited_log import RateLimitedLog

_LOOK_EVERY = 2.0
"""Seconds between two looks at the map, as in the service."""
_FORBIDDEN_FOR = 60.0
"""Seconds for which a node that refuses the map is not asked again: its ACL LOG may be watched."""


class ClusterPrimaries:
    """The primary of each bucket, as far as it is known. A server on its own has all of them."""

    def __init__(self, url: RedisUrl, patience: float) -> None:
        """Ask nobody yet. `patience`: seconds for a connection, and for an answer."""
        self._url = url
        self._patience = patience
        self._hosts: list[Address] = list(url.hosts)
        self._primaries: dict[int, Address] = {}
        self._importing: dict[int, Address | None] = {}
        """The node that still has the slot of a bucket, for those whose slot is being imported."""
        self._redirected_at: dict[int, float] = {}
        self._members: frozenset[bytes] = frozenset()
        self._connections: dict[Address, Connection] = {}
        self._forbidden_until: dict[Address, float] = {}
        self._looking: asyncio.Task[None] | None = None
        self._log = RateLimitedLog()

    def find(self, bucket: int) -> Address | None:
        """Return the server that has this bucket, or may name it; None: the socket file."""
        if self._looking is None and self._url.topology == "cluster":
            self._looking = asyncio.create_task(self._look_now_and_then())
        if not self._hosts:
            return None
        return self._primaries.get(bucket, self._hosts[0])

    def reached(self, bucket: int, address: Address) -> None:
        """Note that a server answers, so that it is asked for this bucket again."""
        self._primaries[bucket] = address

    def is_importing(self, bucket: int) -> bool:
        """Tell whether what `find` has found is still importing the bucket's slot."""
        return bucket in self._importing

    def redirected(self, bucket: int, refusal: ResponseError, by: Address | None) -> bool:
        """Go where a refusal sends us, which `find` then finds. Return whether it named a node."""
        if not isinstance(refusal, AskError):  # which MOVED is a kind of
            return False
        host = refusal.host or (by[0] if by else "")  # an empty one: the same as was asked
        self._primaries[bucket] = (host, refusal.port)
        self._redirected_at[bucket] = time.monotonic()
        if isinstance(refusal, MovedError):
            self._importing.pop(bucket, None)
        else:
            self._importing[bucket] = by
        return True

    def discard(self, bucket: int) -> None:
        """Ask another node next time: the one that `find` had found is gone, or of no use."""
        self._importing.pop(bucket, None)
        gone = self._primaries.pop(bucket, None)
        if self._url.topology == "cluster":
            others = {*self._url.hosts, *self._primaries.values()} - {gone}
            first, *rest = [host for host in self._hosts if host in others] or self._url.hosts
            self._hosts = [*rest, *sorted(others - {first, *rest}), first]

    async def aclose(self) -> None:
        """Stop looking, and disconnect."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for wire in self._connections.values():
            await wire.close()
        self._connections.clear()

    async def _look_now_and_then(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as defect:  # the next look may do better; redirections lead meanwhile
                self._log.error("the map of the cluster could not be read", defect=defect)
            await asyncio.sleep(_LOOK_EVERY)

    async def _look(self) -> None:
        """Go by the map of our cluster, but for what a node has told since it was asked for."""
        began = time.monotonic()
        asked = list(dict.fromkeys([*self._primaries.values(), *self._url.hosts]))
        answers = await asyncio.gather(*(self._ask(address) for address in asked))
        told = {at: one for at, one in zip(asked, answers, strict=True) if one is not None}
        for address in self._connections.keys() - asked:
            await self._connections.pop(address).close()
        if (maps := self._ours(told)) is None:
            return
        self._members = members_of(maps.values())
        for bucket, primary in enumerate(agreed(maps, told)):
            if primary is None or self._redirected_at.get(bucket, 0.0) >= began:
                continue
            if bucket in self._importing and primary == self._importing[bucket]:
                continue  # it has the slot, and sends us on
            self._primaries[bucket] = primary
            self._importing.pop(bucket, None)

    def _ours(self, told: Maps) -> Maps | None:
        """Choose the maps of the cluster that is known; at first, of the one that the URL means.

        Whose feed it has, the readers look at: there is no need to know that here.
        """
        clusters = by_cluster(told)
        ours = continued(clusters, self._members)
        return ours[0] if len(ours) == 1 else told_by_most(clusters, self._url.hosts, told)

    async def _ask(self, address: Address) -> ClusterMap | None:
        """Ask a node for its map; None: it does not tell."""
        if time.monotonic() < self._forbidden_until.get(address, 0.0):
            return None
        wire = self._connections.pop(address, None)
        try:
            wire = wire or await Connection.to(self._url, address, self._patience)
            told = ClusterMap.read(
                await wire.ask("CLUSTER", "SLOTS", patience=self._patience), address
            )
        except NoPermissionError:
            self._forbidden_until[address] = time.monotonic() + _FORBIDDEN_FOR
        except BROKEN:
            pass
        except Exception as defect:  # such an answer no node of a cluster gives
            self._log.error("what should be a node of a cluster is none", defect=defect)
        else:
            self._connections[address] = wire
            return told
        if wire is not None:
            await wire.close()
        return None
