"""The set of ended sessions: what a set says, whatever is in it, in a fifth of its room."""

import os
import random
import tracemalloc

import pytest
from hypothesis import given, strategies as st

from service.guard.ended_sessions import _FULL, SIZE, EndedSessions

FEW_BYTES = st.lists(st.sampled_from([0, 1, 255]), min_size=SIZE, max_size=SIZE).map(bytes)
"""Ids that lie across two others, and that fall into few blocks."""


@given(st.lists(FEW_BYTES, max_size=100), st.lists(FEW_BYTES, max_size=10))
def test_it_says_what_a_set_says(told: list[bytes], others: list[bytes]) -> None:
    """Also of ids that are found across two neighbours, and of those told twice."""
    ended, known = EndedSessions(), set[bytes]()
    for session_id in told:
        ended.add(session_id)
        known.add(session_id)
        assert len(ended) == len(known)
    for session_id in [*told, *others]:
        assert (session_id in ended) == (session_id in known)


def test_what_lies_across_two_ids_is_none() -> None:
    """Nor does it hide the one that comes after."""
    ended = EndedSessions()
    across = bytes(range(6, 18))
    ended.add(bytes(range(12)))
    ended.add(bytes(range(12, 24)))
    assert across not in ended
    ended.add(across)
    assert across in ended
    assert len(ended) == 3


def test_none_is_lost_as_it_grows() -> None:
    """Through hundreds of splits; and no block becomes a long one."""
    rng = random.Random(5)
    ids = [rng.randbytes(SIZE) for _ in range(8_000)]
    ended = EndedSessions()
    for number, session_id in enumerate(ids):
        ended.add(session_id)
        assert ids[rng.randrange(number + 1)] in ended
    assert all(session_id in ended for session_id in ids)
    assert not any(rng.randbytes(SIZE) in ended for _ in range(8_000))
    assert max(map(len, ended._blocks)) < 4 * _FULL * SIZE


def test_it_takes_little_memory() -> None:
    """Less than 20 bytes for each, however many there are: scripts/bench measures a million."""
    ids = [os.urandom(SIZE) for _ in range(9_000)]
    for count in (3_000, 5_000, 9_000):
        tracemalloc.start()
        ended = EndedSessions()
        for session_id in ids[:count]:
            ended.add(session_id)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size / count < 20


@pytest.mark.parametrize("wrong", [b"", b"x" * 11, b"x" * 13, b"x" * 24])
def test_what_is_no_session_id(wrong: bytes) -> None:
    """Is an error, not a piece of others."""
    with pytest.raises(ValueError, match="12 bytes"):
        EndedSessions().add(wrong)
