"""The fair queue: networks take turns, and the heaviest makes room."""

import pytest

from service.accounts.fair_queue import FairQueue, area_of


@pytest.mark.parametrize(("network", "area"), [
    ("192.0.2.0/24", "192.0.0.0/16"), ("192.0.3.0/24", "192.0.0.0/16"),
    ("2001:db8:1:2::/64", "2001:db8:1::/48"), ("2001:db8:1:ffff::/64", "2001:db8:1::/48"),
    ("2001:db8:2::/64", "2001:db8:2::/48"), ("unknown", "unknown"), ("", ""),
])  # fmt: skip
def test_areas(network: str, area: str) -> None:
    """Proves what lies close together: IPv4 /16, IPv6 /48."""
    assert area_of(network) == area


def filled(*networks: str) -> FairQueue[str]:
    """A queue with an item of each of these, in this order, called by network and number."""
    queue: FairQueue[str] = FairQueue()
    for number, network in enumerate(networks):
        queue.put(f"{network} {number}", network)
    return queue


def order(queue: FairQueue[str]) -> list[str]:
    return [item.split()[0] for item in queue.pop_all()]


def test_networks_take_turns() -> None:
    """Proves that whoever comes last is served second, however many wait for another."""
    queue = filled(*["10.1.1.0/24"] * 5, "10.2.1.0/24")
    assert order(queue) == ["10.1.1.0/24", "10.2.1.0/24", *["10.1.1.0/24"] * 4]
    assert len(queue) == 0


def test_a_range_of_networks_takes_one_turn() -> None:
    """Proves that many networks that lie together do not delay another by one turn each."""
    queue = filled(*[f"10.1.{number}.0/24" for number in range(9)], "10.2.1.0/24")
    assert order(queue).index("10.2.1.0/24") == 1


def test_networks_of_an_area_take_turns() -> None:
    """Proves that a neighbour of whoever fills the queue is served second, too."""
    queue = filled(*["10.1.1.0/24"] * 3, "10.1.2.0/24")
    assert order(queue) == ["10.1.1.0/24", "10.1.2.0/24", *["10.1.1.0/24"] * 2]


def test_of_one_network_the_oldest_comes_first() -> None:
    """Proves that within a network nothing is overtaken."""
    queue = filled("a", "a", "a")
    assert [*queue.pop_all()] == ["a 0", "a 1", "a 2"]


def test_the_heaviest_makes_room() -> None:
    """Proves that the newest of the network that has most goes, while it has more than others."""
    queue = filled("10.1.1.0/24", "10.1.1.0/24", "10.1.1.0/24", "10.3.1.0/24")
    assert queue.make_room("10.2.1.0/24") == "10.1.1.0/24 2"
    queue.put("new", "10.2.1.0/24")
    assert not queue.yields_to("10.2.1.0/24"), "two against one would only change places"
    assert queue.yields_to("10.4.1.0/24")
    assert queue.make_room("10.1.1.0/24") is None, "not for the heaviest itself"
    assert len(queue) == 4
    assert order(queue) == ["10.1.1.0/24", "10.3.1.0/24", "new", "10.1.1.0/24"]


def test_nobody_makes_room_in_an_empty_queue() -> None:
    """Proves that there is none to be had."""
    queue: FairQueue[str] = FairQueue()
    assert not queue.yields_to("10.1.1.0/24")
    assert queue.make_room("10.1.1.0/24") is None


def test_within_an_area_networks_are_equal() -> None:
    """Proves that a neighbour in the heaviest area gets a place from the one that fills it."""
    queue = filled(*["10.1.1.0/24"] * 4)
    assert queue.make_room("10.1.2.0/24") == "10.1.1.0/24 3"
    queue.put("new", "10.1.2.0/24")
    assert queue.yields_to("10.1.2.0/24"), "three against one"
    assert queue.make_room("10.1.2.0/24") == "10.1.1.0/24 2"
    assert not queue.yields_to("10.1.2.0/24"), "two against one would only change places"


def test_removed_items_are_not_served() -> None:
    """Proves that who has left takes no turn, and leaving twice is nothing."""
    queue = filled("a", "b", "a")
    queue.remove("a 0", "a")
    queue.remove("a 0", "a")
    queue.remove("never", "nowhere")
    assert len(queue) == 2
    assert [*queue.pop_all()] == ["a 2", "b 1"]
