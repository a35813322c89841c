"""What runs with sinks on see: moods of the receiver, and events out of order."""

import asyncio
from pathlib import Path

import pytest
from tools.chaos import sinks
from tools.chaos.receiver import BAD, Receiver, receiving
from tools.chaos.schedule import Planned
from tools.chaos.sinks import Sinks
from tools.testbed.waiting import eventually


def test_moods_follow_from_the_seed() -> None:
    """The same each time, as long as the faults; each bad mood comes up, and whole absences."""
    plans = [sinks.plan(seed, 6) for seed in range(1, 101)]
    assert plans == [sinks.plan(seed, 6) for seed in range(1, 101)]
    assert all(sum(seconds for seconds, _ in plan) == pytest.approx(6, abs=0.1) for plan in plans)
    assert {mood for plan in plans for _, mood in plan} == {"good", *BAD}
    assert 8 < sum(plan == [(6, "down")] for plan in plans) < 30


def test_a_restored_user_store_is_left_out() -> None:
    """It has the table of the copy."""
    planned = [Planned("others", kind, 1, 1, 1) for kind in ("restore the user store", "other")]
    assert [each.kind for each in sinks.without_restores(planned)] == ["other"]


@pytest.mark.parametrize(
    ("arrived", "lied", "is_broken"),
    [
        ([], set(), False),
        (["05-1-0", "05-2-0", "06-1-0", "05-2-1"], set(), False),
        (["05-1-0", "05-2-0", "05-1-0", "05-2-0", "05-3-0"], set(), False),
        (["05-2-0", "05-1-0"], set(), True),
        (["05-10-0", "05-9-0"], set(), True),
        (["05-2-1", "05-2-0"], set(), True),
        (["05-2-0", "05-1-0"], {"05-1-0"}, False),
    ],
)
def test_order(arrived: list[str], lied: set[str], is_broken: bool) -> None:
    """Of a stream, by first arrivals; what the receiver has dropped itself may come later."""
    receiver = Receiver()
    receiver.arrived, receiver.lied = arrived, lied
    assert bool(Sinks(receiver, Path("/nowhere"))._disorder()) == is_broken


async def test_a_receiver_that_is_followed_knows() -> None:
    """Whoever goes where its redirect leads is in a trap."""
    async with receiving() as receiver:
        _, writer = await asyncio.open_connection("127.0.0.1", receiver.trap_port)
        await eventually(lambda: asyncio.sleep(0, receiver.trapped))
        writer.close()
    assert receiver.trapped == 1
