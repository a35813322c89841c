"""Decides whom several Sentinels call primary, by their answers alone: it asks nobody.

One Sentinel may be wrong, behind, or another deployment's, whatever epoch it claims. So a majority
of those that the URL names decides. Only the answer of a later epoch than the majority's is of use
before that, as the first news of a failover: for whoever can make sure that the server it names
goes on from where the known one was.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec

from .url import Address


class Vote(msgspec.Struct, frozen=True):
    """The answer of one Sentinel."""

    epoch: int
    address: Address
    run_id: str = ""
    """The run id of the server at `address`; empty where the Sentinel does not name it."""


class Candidate(msgspec.Struct, frozen=True):
    """A server that some Sentinels call primary, under whatever names."""

    epoch: int
    votes: int
    addresses: tuple[Address, ...]
    """The one that most use comes first."""
    run_ids: frozenset[str]

    def is_at(self, address: Address | None, run_id: str) -> bool:
        """Tell whether it is the server that is known by this address, or this run id."""
        return address in self.addresses or run_id in self.run_ids


def candidates(votes: Sequence[Vote]) -> list[Candidate]:
    """Group votes by server: those with an address or a run id in common are for one."""
    groups: list[list[Vote]] = []
    for vote in votes:
        same = [group for group in groups if any(_same(vote, other) for other in group)]
        groups = [group for group in groups if group not in same]
        groups.append([*(other for group in same for other in group), vote])
    return [_candidate(group) for group in groups]


def elected(found: Collection[Candidate], sentinels: int) -> Candidate | None:
    """Return the one that more than half of all `sentinels` name."""
    return next((each for each in found if 2 * each.votes > sentinels), None)


def latest(found: Collection[Candidate]) -> Candidate:
    """Return the one of the latest epoch."""
    return max(found, key=lambda each: (each.epoch, each.votes))


def _same(one: Vote, other: Vote) -> bool:
    return one.address == other.address or bool(one.run_id and one.run_id == other.run_id)


def _candidate(group: Sequence[Vote]) -> Candidate:
    names = Counter(vote.address for vote in group)
    return Candidate(
        max(vote.epoch for vote in group),
        len(group),
        tuple(name for name, _ in names.most_common()),
        frozenset(vote.run_id for vote in group if vote.run_id),
    )
