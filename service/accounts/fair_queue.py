"""A queue in which networks take turns, so that none of them can keep the others waiting.

Networks that lie close together (IPv4 /16, IPv6 /48) are one area, and take their area's turns: who
holds a whole range of addresses gains little by using all of them.
"""

import functools
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_AREA = {4: 16, 6: 48}


@functools.lru_cache(maxsize=4096)
def area_of(network: str) -> str:
    """Return the area of a network (`sessions.origin.network`); what is none is its own area."""
    try:
        parsed = ipaddress.ip_network(network)
    except ValueError:
        return network
    return str(parsed.supernet(new_prefix=min(parsed.prefixlen, _AREA[parsed.version])))


class FairQueue(Generic[T]):
    """Items that wait, by area and network: those take turns; of one network the oldest is first.

    Not safe for threads: whoever shares it holds a lock.
    """

    def __init__(self) -> None:
        self._areas: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, item: T, network: str) -> None:
        """Add an item of this network."""
        networks = self._areas.setdefault(area_of(network), OrderedDict())
        networks.setdefault(network, deque()).append(item)
        self._length += 1

    def take(self) -> T | None:
        """Take the next item, or `None`. Its network and its area go to the end of their queues."""
        for area, networks in self._areas.items():
            network, items = next(iter(networks.items()))
            item = items.popleft()
            self._areas.move_to_end(area)
            networks.move_to_end(network)
            self._settle(area, network)
            return item
        return None

    def pop_all(self) -> Iterator[T]:
        """Take everything out."""
        while (item := self.take()) is not None:
            yield item

    def remove(self, item: T, network: str) -> None:
        """Take an item out, if it still waits."""
        area = area_of(network)
        networks = self._areas.get(area)
        items = networks.get(network) if networks else None
        if items is not None and item in items:
            items.remove(item)
            self._settle(area, network)

    def yields_to(self, network: str) -> bool:
        """Tell whether an item of a heavier network would make room for one of this network."""
        return self._heavier(network) is not None

    def make_room(self, network: str) -> T | None:
        """Take the newest item of the heaviest network out for one of a lighter one, or nothing."""
        heavier = self._heavier(network)
        if heavier is None:
            return None
        area, heaviest = heavier
        item = self._areas[area][heaviest].pop()
        self._settle(area, heaviest)
        return item

    def _heavier(self, network: str) -> tuple[str, str] | None:
        """Find the heaviest area and network, unless it would then have less than this network."""
        if not self._areas:
            return None
        mine = area_of(network)
        area = max(self._areas, key=self._weight)
        networks = self._areas[area]
        heaviest = max(networks, key=lambda name: len(networks[name]))
        if area == mine:
            lighter = len(networks.get(network, ())) + 1 < len(networks[heaviest])
        else:
            lighter = self._weight(mine) + 1 < self._weight(area)
        return (area, heaviest) if lighter else None

    def _weight(self, area: str) -> int:
        return sum(map(len, self._areas.get(area, {}).values()))

    def _settle(self, area: str, network: str) -> None:
        """Count an item as gone, and forget its network and area if they have none left."""
        self._length -= 1
        if not self._areas[area][network]:
            del self._areas[area][network]
        if not self._areas[area]:
            del self._areas[area]
