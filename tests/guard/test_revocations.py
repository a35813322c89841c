"""What is kept in memory of sessions that have ended, and for how long."""

from hypothesis import given, strategies as st

from service.guard.revocations import Shard, shards
from service.redis.keys import BUCKETS

LIFE = 100.0


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
    shard.add(b"x")
    shard.turn(LIFE)
    shard.add(b"x")
    shard.turn(2 * LIFE)
    assert b"x" in shard
    shard.turn(3 * LIFE)
    assert b"x" not in shard
