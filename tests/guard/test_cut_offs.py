"""Cut-offs of one user add up: whom one of them refuses, all together do."""

import pytest
from hypothesis import given, strategies as st

from service.guard.cut_offs import CutOff, whole_number
from service.guard.revocations import Shard

USER, OTHER = bytes(16), bytes(15) + b"\1"
SESSIONS = [bytes((number,)) * 12 for number in range(4)]

times = st.integers(0, 5)
told = st.lists(st.tuples(times, st.sets(st.sampled_from(SESSIONS))), min_size=1, max_size=6)


@given(told, st.randoms(use_true_random=False))
def test_whom_one_refuses_all_refuse(told: list[tuple[int, set[bytes]]], random: object) -> None:
    """In whatever order they are read, and however often; and they refuse nobody else."""
    shard = Shard(100.0, turns_at=100.0)
    again = told + told
    random.shuffle(again)  # type: ignore[attr-defined]
    for at, kept in again:
        shard.cut_off(USER, CutOff.keeping(at, kept))
    for session_id in SESSIONS:
        for opened_at in range(7):
            refused = any(opened_at <= at and session_id not in kept for at, kept in told)
            assert shard.is_cut_off(USER, session_id, opened_at) == refused
            assert not shard.is_cut_off(OTHER, session_id, opened_at)


@given(told)
def test_it_keeps_no_more_than_one_of_them_says(told: list[tuple[int, set[bytes]]]) -> None:
    """Memory grows with users, not with how often theirs are cut off."""
    shard = Shard(100.0, turns_at=100.0)
    for at, kept in told:
        shard.cut_off(USER, CutOff.keeping(at, kept))
    assert len(shard) == 1
    assert len(shard._young[USER].kept) <= max(len(kept) for _, kept in told)


@pytest.mark.parametrize(("text", "number"), [
    (b"0", 0), (b"1", 1), (b"007", 7), (b"9" * 16, 10**16 - 1), (b"9" * 17, None), (b"", None),
    (b"-1", None), (b"1.0", None), (b"x", None), (b" 1", None), (b"1_0", None), (b"\xb2", None),
    (b"9" * 9999, None),
])  # fmt: skip
def test_numbers_as_the_service_writes_them(text: bytes, number: int | None) -> None:
    """Digits, and not too many."""
    assert whole_number(text) == number
