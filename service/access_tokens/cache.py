"""A cache of access tokens whose signature was verified.

What a token says stays true until it expires, so only its expiry and its session are looked at
again. Two generations bound the size: the young one takes what is new and what is used, and when it
is full the old one is dropped.

The service finds a token by the SHA-256 of its text, and keeps no token. A guard finds it by its
signature, which takes a fifth of that time, and then compares the rest (`guard/verifier.py`).
"""

from typing import Generic, TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")


class Cache(Generic[Key, Found]):
    """Remembers what was found out about at most `size` verified tokens."""

    def __init__(self, size: int) -> None:
        """Begin empty. `size`: 0 keeps none."""
        self._half = size // 2
        self.young: dict[Key, Found] = {}
        self._old: dict[Key, Found] = {}

    def recall(self, key: Key) -> Found | None:
        """Return what was found out about a token that was not used lately, or None."""
        found = self._old.pop(key, None)
        if found is not None:
            self.keep(key, found)
        return found

    def keep(self, key: Key, found: Found) -> None:
        """Remember a token whose signature was verified."""
        if len(self.young) >= self._half:
            if not self._half:
                return
            self._old, self.young = self.young, {}
        self.young[key] = found

    def drop(self, key: Key) -> None:
        """Forget a token: it has expired, or its session has ended."""
        self.young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Forget all: the keys have changed."""
        self.young, self._old = {}, {}
