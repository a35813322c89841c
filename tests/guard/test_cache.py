"""What is known of tokens: bounded, and the ones that are used stay."""

import pytest

from service.access_tokens.cache import Cache


def test_a_full_cache_keeps_turning() -> None:
    """A thousand tokens through room for ten: never more, and the newest are always known."""
    cache = Cache[bytes, int](10)
    for number in range(1000):
        cache.keep(b"%d" % number, number)
        assert len(cache.young) + len(cache._old) <= 10
        newest = [cache.young.get(b"%d" % n) for n in range(max(0, number - 4), number + 1)]
        assert newest[-1] == number
        known = cache.young | cache._old
        assert all(b"%d" % n in known for n in range(max(0, number - 4), number + 1))


def test_what_is_used_stays() -> None:
    """It comes back from the old generation into the young one, once, and lives on."""
    cache = Cache[bytes, int](10)
    cache.keep(b"mine", 1)
    for number in range(200):
        cache.keep(b"%d" % number, number)
        found = cache.young.get(b"mine") or cache.recall(b"mine")
        assert found == 1
        assert b"mine" in cache.young
        assert b"mine" not in cache._old
    for number in range(200, 210):
        cache.keep(b"%d" % number, number)
    assert cache.recall(b"mine") is None


@pytest.mark.parametrize("size", [0, 1])
def test_no_room_is_no_cache(size: int) -> None:
    """It keeps nothing."""
    cache = Cache[bytes, int](size)
    cache.keep(b"x", 1)
    assert not cache.young
    assert cache.recall(b"x") is None


def test_what_is_dropped_is_gone_from_both() -> None:
    """The young and the old."""
    cache = Cache[bytes, int](2)
    cache.keep(b"a", 1)
    cache.keep(b"b", 2)
    for name in (b"a", b"b"):
        cache.drop(name)
        assert cache.young.get(name) is cache.recall(name) is None
