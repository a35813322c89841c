"""A cache of access tokens whose signature was verified, by the SHA-256 of their text.

What a token says stays true until it expires, so only its expiry and its session are looked at
again. Two generations bound the size: the young one takes what is new and what is used, and when it
is full the old one is dropped. A token itself is never kept.
"""

from typing import Generic, TypeVar

Found = TypeVar("Found")


class Cache(Generic[Found]):
    """Remembers what was found out about at most `size` verified tokens."""

    def __init__(self, size: int) -> None:
        """Begin empty. `size`: 0 keeps none."""
        self._half = size // 2
        self.young: dict[bytes, Found] = {}
        self._old: dict[bytes, Found] = {}

    def recall(self, digest: bytes) -> Found | None:
        """Return what was found out about a token that was not used lately, or None."""
        found = self._old.pop(digest, None)
        if found is not None:
            self.keep(digest, found)
        return found

    def keep(self, digest: bytes, found: Found) -> None:
        """Remember a token whose signature was verified."""
        if len(self.young) >= self._half:
            if not self._half:
                return
            self._old, self.young = self.young, {}
        self.young[digest] = found

    def drop(self, digest: bytes) -> None:
        """Forget a token: it has expired, or its session has ended."""
        self.young.pop(digest, None)
        self._old.pop(digest, None)

    def clear(self) -> None:
        """Forget all: the keys have changed."""
        self.young, self._old = {}, {}
