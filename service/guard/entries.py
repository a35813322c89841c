"""The entries of the feed (`docs/feed.md`), as Redis gives them and as a shard takes them.

An entry is its number under `n`, and what has ended. Its kind is the list of the names of its other
fields, so that an entry with one field more is of another kind:

| fields                    | what has ended                                                       |
| ------------------------- | -------------------------------------------------------------------- |
| `n`, `s`                  | the session with this id                                             |
| `n`, `u`, `t`             | all sessions of this user that were opened at `t` or before          |
| `n`, `u`, `t`, `k`        | the same, but for those whose ids (12 bytes each) stand in `k`       |
| `n`, `g`, `t`             | all sessions of the bucket that were opened at `t` or before         |
"""

from collections.abc import Mapping, Sequence

import msgspec

from .cursor import Position
from .cut_offs import CutOff, whole_number

RawEntry = tuple[bytes, Sequence[bytes]]
"""An entry as Redis sends it: its id, and names and values in turn."""

_USER_ID, _SESSION_ID = 16, 12
_SHOWN = 40


class UserCutOff(msgspec.Struct, frozen=True, gc=False):
    """What an entry says that ends a user's sessions."""

    user_id: bytes
    cut_off: CutOff


class BucketCutOff(msgspec.Struct, frozen=True, gc=False):
    """What an entry says that ends the sessions of a bucket, opened `at` or before; ms."""

    at: int


class UnknownKind(msgspec.Struct, frozen=True, gc=False):
    """That an entry says something which this guard does not understand."""

    name: str


Said = bytes | UserCutOff | BucketCutOff | UnknownKind | None
"""What an entry says; bytes are the id of a session, None is nothing: it is malformed."""

Entry = tuple[Position, Said]


def read_entry(id_: bytes, fields: Sequence[bytes]) -> Entry:
    """Read an entry. One that is malformed has number 0: whatever it was is missing."""
    said: Said
    match fields:
        case [b"n", text, b"s", said] if len(said) == _SESSION_ID:
            pass  # as most are, in storms above all
        case [b"n", text, *rest] if len(rest) % 2 == 0:
            said = _said(rest)
        case _:
            return Position(id_, 0), None
    if said is None or not (number := whole_number(text)):
        return Position(id_, 0), None
    return Position(id_, number), said


def read_entries(found: Mapping[bytes, Sequence[RawEntry]]) -> dict[bytes, list[Entry]]:
    """Read the entries of several streams, by key."""
    return {key: [read_entry(*raw) for raw in entries] for key, entries in found.items()}


def _said(fields: Sequence[bytes]) -> Said:
    """Read what stands after the number, if it is not the end of one session."""
    match fields[::2], fields[1::2]:
        case [b"s"], _:
            return None
        case [b"u", b"t"], [user_id, text]:
            return _user_cut_off(user_id, text, b"")
        case [b"u", b"t", b"k"], [user_id, text, kept]:
            return _user_cut_off(user_id, text, kept)
        case [b"g", b"t"], [which, text]:
            at = whole_number(text) if which == b"1" else None
            return None if at is None else BucketCutOff(at)
        case names, _:
            return UnknownKind(b" ".join(names)[:_SHOWN].decode("ascii", "backslashreplace"))


def _user_cut_off(user_id: bytes, text: bytes, kept: bytes) -> UserCutOff | None:
    at = whole_number(text)
    if at is None or len(user_id) != _USER_ID or len(kept) % _SESSION_ID:
        return None
    ids = (kept[start : start + _SESSION_ID] for start in range(0, len(kept), _SESSION_ID))
    return UserCutOff(user_id, CutOff.keeping(at, ids))
