"""The rows of keys in the database, and which of them are in use at a given moment."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from service.clock import milliseconds

SIGNING, REFRESH_MAC, PEPPER, EMAIL_DIGEST = "signing", "refresh-mac", "pepper", "email-digest"

ROTATED = (SIGNING, REFRESH_MAC)
"""The uses of token keys, which are rotated."""

SKEW = timedelta(minutes=1)
"""How far the clocks of two machines may be apart."""


class DataKey(msgspec.Struct, frozen=True):
    """A data key, wrapped. It seals from `active_from` on, ms since 1970, until the next does."""

    epoch: int
    wrapped: bytes
    created_at: int
    active_from: int


class SealedKey(msgspec.Struct, frozen=True):
    """A key of the service, sealed. In use from `active_from` on, ms since 1970."""

    use: str
    id: int
    sealed: bytes
    public: bytes | None
    created_at: int
    active_from: int


class KeyRecords(msgspec.Struct, frozen=True):
    """All rows of `data_keys` by epoch, and of `sealed_keys` by use, the newest last."""

    data_keys: tuple[DataKey, ...]
    sealed_keys: dict[str, tuple[SealedKey, ...]]


class KeyLives(msgspec.Struct, frozen=True, kw_only=True):
    """The lives of what keys make, and the age at which a key gets its successor.

    `refresh` is that of refresh tokens or of tickets, whichever is longer: their MAC keys are one.
    """

    access: timedelta = timedelta(minutes=15)
    refresh: timedelta = timedelta(days=30)
    age: timedelta = timedelta(days=90)

    def after(self, use: str) -> timedelta | None:
        """Return how long a key of this use is kept after its successor began; `None`: for good."""
        match use:
            case "signing":
                return self.access + SKEW
            case "refresh-mac":
                return self.refresh + SKEW
            case _:
                return None


def current_epoch(data_keys: Sequence[DataKey], now: int) -> int:
    """Find the epoch that seals: the newest active one. With a clock far behind, the oldest."""
    active = [key.epoch for key in data_keys if key.active_from <= now]
    return max(active, default=min(key.epoch for key in data_keys))


def ages(stored: KeyRecords, moment: datetime, lives: KeyLives) -> dict[str, float]:
    """Return the ages of the keys in use, in seconds: of the data key (`data`), and by use."""
    now = milliseconds(moment)
    current = current_epoch(stored.data_keys, now)
    [data_key] = [key for key in stored.data_keys if key.epoch == current]
    made = {"data": data_key.created_at}
    for use, keys in stored.sealed_keys.items():
        if keys:
            made[use] = in_use(keys, now, lives.after(use))[1].created_at
    return {use: max(0.0, (now - at) / 1000) for use, at in made.items()}


def in_use(
    keys: Sequence[SealedKey], now: int, after: timedelta | None
) -> tuple[list[SealedKey], SealedKey]:
    """Find the keys of a use that are valid at `now`, oldest first, and the one for what is new.

    A key is valid from when it is published until `after` has passed since its successor began.
    """
    kept = [
        key
        for key, successor in zip(keys, [*keys[1:], None], strict=True)
        if after is None
        or successor is None
        or successor.active_from + after // timedelta(milliseconds=1) > now
    ]
    active = [key for key in kept if key.active_from <= now]
    return kept, active[-1] if active else kept[0]
