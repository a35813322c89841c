"""What is kept in memory of sessions that have ended, and for how long."""

import pytest
from hypothesis import given, strategies as st

from service.guard.cut_offs import CutOff
from service.guard.revocations import Shard, shards
from service.redis.keys import BUCKETS

LIFE = 100.0
X, ENDED, LATER = b"x" * 12, b"ended".ljust(12), b"later".ljust(12)
"""Ids of sessions."""


@given(st.lists(st.tuples(st.floats(0, 60), st.booleans()), max_size=40))
def test_an_entry_stays_for_a_life_and_for_two_at_most(steps: list[tuple[float, bool]]) -> None:
    """However often, and however rarely, a shard gets its turn."""
    shard, now = Shard(LIFE, turns_at=LIFE), 0.0
    added: dict[bytes, float] = {}
    turned_at = 0.0
    for number, (passes, adds) in enumerate(steps):
        now += passes
        if adds:
            session_id = number.to_bytes(12)
            shard.add(session_id)
            added[session_id] = now
        shard.turn(now)
        rarely, turned_at = now - turned_at, now
        for session_id, at in added.items():
            if now - at < LIFE:
                assert session_id in shard
            elif now - at > 2 * LIFE + 60 + rarely:
                assert session_id not in shard
        assert len(shard) <= len(added)


def test_shards_take_turns() -> None:
    """No two drop their old entries at once, and none waits for longer than two lives."""
    turns = [shard._turns_at for shard in shards(LIFE, now=5.0)]
    assert len(set(turns)) == BUCKETS
    assert min(turns) == 5.0 + LIFE
    assert max(turns) < 5.0 + 2 * LIFE


def test_an_entry_may_be_told_again() -> None:
    """After a stream was read anew: it stays for another life."""
    shard = Shard(LIFE, turns_at=LIFE)
    shard.add(X)
    shard.turn(LIFE)
    shard.add(X)
    shard.turn(2 * LIFE)
    assert X in shard
    shard.turn(3 * LIFE)
    assert X not in shard


def test_a_cut_off_stays_as_long_as_an_end() -> None:
    """For a life after it was told last, and for two at the most; and counts into what is kept."""
    shard = Shard(LIFE, turns_at=LIFE)
    shard.cut_off(b"u", CutOff(5))
    shard.cut_off(b"v", CutOff(5))
    shard.turn(LIFE)
    shard.cut_off(b"u", CutOff(3))
    assert len(shard) == 2
    shard.turn(2 * LIFE)
    assert shard.is_cut_off(b"u", b"s", 5)
    assert not shard.is_cut_off(b"v", b"s", 5)
    shard.turn(3 * LIFE)
    assert not shard.is_cut_off(b"u", b"s", 5)
    assert len(shard) == 0


def test_a_cut_off_stays_for_a_token_of_a_clock_ahead() -> None:
    """Its user's, for as long as that token lives."""
    shard = Shard(LIFE, turns_at=LIFE)
    shard.cut_off(b"far", CutOff(5))
    shard.cut_off(b"near", CutOff(5))
    shard.keep(b"far", until=10_450.0, now=10_000.0)
    for now in (100.0, 200.0, 300.0, 400.0):
        shard.turn(now, 10_000.0 + now)
        assert shard.is_cut_off(b"far", b"s", 5)
    assert not shard.is_cut_off(b"near", b"s", 5)
    for now in (500.0, 600.0, 700.0):
        shard.turn(now, 10_000.0 + now)
    assert not shard.is_cut_off(b"far", b"s", 5)


def test_a_cut_off_of_everybody_stays() -> None:
    """One number, which need not be forgotten."""
    shard = Shard(LIFE, turns_at=LIFE)
    assert not shard.is_cut_off(b"u", b"s", 0)
    shard.cut_off_everybody(5)
    for number in range(1, 5):
        shard.turn(number * LIFE)
    assert shard.is_cut_off(b"u", b"s", 5)
    assert not shard.is_cut_off(b"u", b"s", 6)


@pytest.mark.parametrize("ends", ["session", "user", "everybody"])
def test_what_tokens_are_checked_against_knows_nothing_after_an_end(ends: str) -> None:
    """So they are compared anew; what follows knows what it knew. Unseen, it stays as it is."""
    shard = Shard(LIFE, turns_at=LIFE)
    shard.add(ENDED)
    shard.known_until = 7.0
    end = {
        "session": lambda: shard.add(LATER),
        "user": lambda: shard.cut_off(b"u", CutOff(5)),
        "everybody": lambda: shard.cut_off_everybody(5),
    }[ends]
    for _ in range(2):
        before = shard.ends
        assert shard.is_latest(before)
        end()
        assert before.known_until == float("-inf")
        assert not shard.is_latest(before)
        assert shard.known_until == 7.0
        assert ENDED in shard
    unseen = shard._ends
    end()
    assert shard._ends is unseen
