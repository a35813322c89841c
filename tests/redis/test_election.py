"""Whom Sentinels that disagree make primary: a pure decision."""

import pytest

from service.redis.election import Vote, candidates, elected, latest

A, B, ALSO_A = ("10.0.0.1", 6379), ("10.0.0.2", 6379), ("redis-0", 6379)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([Vote(1, A), Vote(1, A), Vote(99, B)], A),
        ([Vote(2, A), Vote(2, A), Vote(1, B)], A),
        ([Vote(1, A), Vote(2, B)], None),
        ([Vote(2, B)], None),
        ([Vote(1, A, "r"), Vote(1, ALSO_A, "r"), Vote(1, B, "s")], A),
        ([Vote(1, A, "r"), Vote(1, B, "s"), Vote(1, ALSO_A, "r")], A),
        ([Vote(1, A), Vote(1, ALSO_A)], None),
        ([Vote(1, A, ""), Vote(1, B, ""), Vote(1, ALSO_A, "")], None),
    ],
)
def test_more_than_half_of_all_decide(votes: list[Vote], expected: tuple[str, int] | None) -> None:
    """Not the highest epoch, and not the majority of those that answer; names of one server are
    one."""
    chosen = elected(candidates(votes), 3)
    assert (chosen.addresses[0] if chosen else None) == expected


def test_an_address_and_a_run_id_tie_three_together() -> None:
    """One of whom the others each know something else."""
    votes = [Vote(1, A, "r"), Vote(3, B, "s"), Vote(2, ALSO_A, "r"), Vote(1, ALSO_A)]
    first, second = sorted(candidates(votes), key=lambda each: each.votes)
    assert (first.addresses, second.votes) == ((B,), 3)
    assert latest([first, second]) is first
    assert second.is_at(ALSO_A, "")
    assert second.is_at(None, "r")
    assert not second.is_at(B, "")
