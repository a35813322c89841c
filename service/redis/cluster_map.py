"""Finds where the 64 buckets lie, from what several nodes of a cluster tell. It asks nobody.

A node that has left the cluster, hangs behind, or belongs to another one still answers. So several
are asked, and the majority counts; but of its own slots each node knows best which it has no more.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from redis.crc import key_slot

from .keys import TAGS
from .url import Address

_SLOTS = sorted((key_slot(tag), bucket) for bucket, tag in enumerate(TAGS))

PrimaryAddress = Address | None
"""The primary that has a bucket; `None`: nobody has."""

UNSERVED: tuple[PrimaryAddress, ...] = (None,) * len(TAGS)


class ClusterMap(msgspec.Struct, frozen=True):
    """The map of a cluster that one of its nodes tells."""

    primaries: tuple[PrimaryAddress, ...]
    """The primary of each bucket."""
    members: frozenset[bytes]
    """The ids of all nodes that serve a slot, and of their replicas."""

    @classmethod
    def read(cls, rows: Sequence[Any], told_by: Address) -> "ClusterMap":
        """Read `CLUSTER SLOTS`: rows of first slot, last slot, primary, replicas.

        Each node is [host, port, id, …]. Where one does not know its own name it gives none: it is
        where it was asked.
        """
        primaries: list[PrimaryAddress] = list(UNSERVED)
        members: set[bytes] = set()
        for first, last, *nodes in rows:
            members.update(node[2] if len(node) > 2 else b"%s:%d" % tuple(node) for node in nodes)
            host = (nodes[0][0] or b"?").decode()
            primary = (told_by[0] if host in ("", "?") else host, int(nodes[0][1]))
            here = slice(bisect_left(_SLOTS, (first, 0)), bisect_left(_SLOTS, (last + 1, 0)))
            for _, bucket in _SLOTS[here]:
                primaries[bucket] = primary
        return cls(tuple(primaries), frozenset(members))


Maps = Mapping[Address, ClusterMap]
"""Maps by the node that each comes from."""


def by_cluster(told: Maps) -> list[dict[Address, ClusterMap]]:
    """Part the maps by cluster: those of one have nodes in common. Empty ones are of none."""
    clusters: list[tuple[set[bytes], dict[Address, ClusterMap]]] = []
    for address, one in told.items():
        if not one.members:
            continue
        members, maps = set(one.members), {address: one}
        apart = []
        for others, their_maps in clusters:
            if others & members:
                members |= others
                maps = their_maps | maps
            else:
                apart.append((others, their_maps))
        clusters = [*apart, (members, maps)]
    return [maps for _, maps in clusters]


def agreed(maps: Maps, told: Maps) -> list[PrimaryAddress]:
    """Find where each bucket lies by the `maps` of one cluster; `told`: all, also empty ones."""
    primaries: list[PrimaryAddress] = []
    for bucket in range(len(TAGS)):
        votes = Counter(one.primaries[bucket] for one in maps.values())
        most = max(votes.values())
        primary = _preferred([one for one, count in votes.items() if count == most], maps, bucket)
        if primary is not None and primary in told:  # it was asked itself
            primary = told[primary].primaries[bucket]
        primaries.append(primary)
    return primaries


def members_of(maps: Iterable[ClusterMap]) -> frozenset[bytes]:
    """Return the ids of all nodes that these maps name."""
    return frozenset().union(*(one.members for one in maps))


def continued(
    clusters: Sequence[dict[Address, ClusterMap]], members: Collection[bytes]
) -> list[dict[Address, ClusterMap]]:
    """Choose the clusters that have most of these nodes; none, if none has any."""
    shared = [len(members_of(maps.values()) & frozenset(members)) for maps in clusters]
    most = max(shared, default=0)
    return [maps for maps, count in zip(clusters, shared, strict=True) if count == most > 0]


def told_by_most(
    clusters: Iterable[Maps],
    hosts: Collection[Address],
    told: Maps,
) -> Maps | None:
    """Choose the cluster of more than half of the `hosts`, without those that have no slots."""
    voters = [host for host in hosts if host not in told or told[host].members]
    for maps in clusters:
        if 2 * sum(host in maps for host in voters) > len(voters):
            return maps
    return None


def _preferred(primaries: Collection[PrimaryAddress], maps: Maps, bucket: int) -> PrimaryAddress:
    """Choose of primaries with as many votes one that says that it has the bucket; else any."""
    owning = [at for at in primaries if at and at in maps and maps[at].primaries[bucket] == at]
    return next(iter(owning or [at for at in primaries if at is not None] or primaries))
