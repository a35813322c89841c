"""Rows of users in memory, packed: some 190 bytes each with all that finding them takes.

They lie in pages of 40 rows, found by bits of the user's id (extendible hashing): a page that is
full is split in two by the next bit, so that memory grows with the rows, and one step never moves
more than a page. A page begins with the ids of its rows, zeros where there is none::

    0         16                 640         752                5120
    +---------+--------- … ------+-----------+-------- … -------+
    | id      | 39 further ids   | row       | 39 further rows  |
    +---------+--------- … ------+-----------+-------- … -------+

    row:  confirmed at (double) | version (64 bit) | length (8 bit) | the rest, MessagePack

Once there are as many pages as there may be, a row takes the place of another of its page.
"""

import struct
from collections.abc import Iterator
from datetime import datetime
from itertools import count

import msgspec

from service.accounts.user_rows import User
from service.clock import milliseconds, moment

MOST_PAGES = 1 << 15
"""5 kB each, 164 MiB in all, for 1.3 million rows; on average two thirds of a page are in use."""

_ROWS, _ID, _ROW = 40, 16, 112
_IDS = _ROWS * _ID
_HEAD = struct.Struct("<dQB")
_NOBODY = bytes(_ID)
_DEEPEST = 18


class _Rest(msgspec.Struct, frozen=True, array_like=True):
    """What a row says besides id and version. Times: ms since 1970."""

    email: str
    created_at: int
    flags: int
    recovery_codes_left: int
    sessions_from: int
    disabled_at: int | None
    password_changed_at: int | None
    email_verified_at: int | None
    locale: str | None


_TWO_FA, _AWAITS_VERIFICATION = 1, 2
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(_Rest).decode


class _Page:
    """40 rows whose ids have the same lowest `depth` bits."""

    __slots__ = ("bytes", "depth")

    def __init__(self, depth: int) -> None:
        self.bytes = bytearray(_ROWS * (_ID + _ROW))
        self.depth = depth

    def place_of(self, user_id: bytes) -> int | None:
        """Find the place of an id."""
        return self._find(user_id) if len(user_id) == _ID and user_id != _NOBODY else None

    def free(self) -> int | None:
        """Find a place where there is no row."""
        return self._find(_NOBODY)

    def _find(self, user_id: bytes) -> int | None:
        at = self.bytes.find(user_id, 0, _IDS)
        while at >= 0 and at % _ID:  # the end of an id and the beginning of the next
            at = self.bytes.find(user_id, at + 1, _IDS)
        return None if at < 0 else at // _ID

    def row_at(self, place: int) -> int:
        """Return where the row of a place begins."""
        return _IDS + place * _ROW

    def put(self, place: int, user_id: bytes, row: bytes) -> None:
        """Write an id, and its row, at a place."""
        start = self.row_at(place)
        self.bytes[place * _ID : (place + 1) * _ID] = user_id
        self.bytes[start : start + len(row)] = row

    def wipe(self, place: int) -> None:
        """Leave nothing of the row at a place."""
        self.put(place, _NOBODY, bytes(_ROW))

    def rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield place, id and row of each."""
        for place in range(_ROWS):
            user_id = bytes(self.bytes[place * _ID : (place + 1) * _ID])
            if user_id != _NOBODY:
                start = self.row_at(place)
                yield place, user_id, bytes(self.bytes[start : start + _ROW])


class PackedRows:
    """Keeps rows of users, at most so many `pages` of them."""

    def __init__(self, pages: int = MOST_PAGES) -> None:
        self._most = pages
        self._pages = [_Page(0)]
        self._by_bits = [self._pages[0]]
        self._turns = count()
        self._swept = 0

    @property
    def size(self) -> int:
        """The bytes of all pages."""
        return len(self._pages) * _ROWS * (_ID + _ROW)

    def put(self, user: User, confirmed_at: float) -> None:
        """Keep a row that the user store gave or confirmed at that time; none that is too long."""
        row = _pack(user, confirmed_at)
        if row is None or len(user.id) != _ID or user.id == _NOBODY:
            self.drop(user.id)
            return
        while True:
            page = self._page(user.id)
            place = page.place_of(user.id)
            if place is None:
                place = page.free()
            if place is None and not self._split(page, user.id):
                place = next(self._turns) % _ROWS
            if place is not None:
                page.put(place, user.id, row)
                return

    def find(self, user_id: bytes, version: int) -> tuple[User, float] | None:
        """Return the row with this version, and when it was confirmed."""
        page = self._page(user_id)
        place = page.place_of(user_id)
        if place is None:
            return None
        start = page.row_at(place)
        confirmed_at, its_version, length = _HEAD.unpack_from(page.bytes, start)
        if its_version != version:
            return None
        start += _HEAD.size
        rest = page.bytes[start : start + length]
        return _user(user_id, version, _decode(rest)), confirmed_at

    def confirm(self, user_id: bytes, version: int | None, at: float) -> None:
        """Note that the user store has this version; forget another that is not newer than that."""
        page = self._page(user_id)
        place = page.place_of(user_id)
        if place is None:
            return
        start = page.row_at(place)
        confirmed_at, its_version, length = _HEAD.unpack_from(page.bytes, start)
        if confirmed_at > at:
            return
        if its_version == version:
            _HEAD.pack_into(page.bytes, start, at, its_version, length)
        else:
            page.wipe(place)

    def drop(self, user_id: bytes) -> None:
        """Forget a row."""
        page = self._page(user_id)
        place = page.place_of(user_id)
        if place is not None:
            page.wipe(place)

    def sweep(self, share: int, before: float) -> None:
        """Forget what was confirmed `before` that time in the next of so many shares of all."""
        for _ in range(-(-len(self._pages) // share)):
            self._swept = (self._swept + 1) % len(self._pages)
            page = self._pages[self._swept]
            for place, _, row in page.rows():
                if _HEAD.unpack_from(row)[0] < before:
                    page.wipe(place)

    def _page(self, user_id: bytes) -> _Page:
        return self._by_bits[_bits(user_id) & (len(self._by_bits) - 1)]

    def _split(self, page: _Page, user_id: bytes) -> bool:
        """Make two pages of the one for this id; False: there are as many as there may be."""
        if len(self._pages) >= self._most or page.depth >= _DEEPEST:
            return False
        bit = 1 << page.depth
        if bit == len(self._by_bits):
            self._by_bits *= 2
        page.depth += 1
        other = _Page(page.depth)
        self._pages.append(other)
        free = count()
        for place, its_id, row in page.rows():
            if _bits(its_id) & bit:
                other.put(next(free), its_id, row)
                page.wipe(place)
        # What led to the page leads to the other where the next bit is set.
        for at in range(_bits(user_id) & (bit - 1) | bit, len(self._by_bits), bit << 1):
            self._by_bits[at] = other
        return True


def _bits(user_id: bytes) -> int:
    return int.from_bytes(user_id[8:12])


def _pack(user: User, confirmed_at: float) -> bytes | None:
    flags = user.two_fa_enabled * _TWO_FA | user.awaits_verification * _AWAITS_VERIFICATION
    rest = _encode(
        _Rest(
            user.email,
            milliseconds(user.created_at),
            flags,
            user.recovery_codes_left,
            user.sessions_from,
            _milliseconds(user.disabled_at),
            _milliseconds(user.password_changed_at),
            _milliseconds(user.email_verified_at),
            user.locale,
        )
    )
    if len(rest) > _ROW - _HEAD.size:
        return None
    return _HEAD.pack(confirmed_at, user.version, len(rest)) + rest


def _user(user_id: bytes, version: int, rest: _Rest) -> User:
    return User(
        id=user_id,
        email=rest.email,
        created_at=moment(rest.created_at),
        two_fa_enabled=bool(rest.flags & _TWO_FA),
        recovery_codes_left=rest.recovery_codes_left,
        version=version,
        disabled_at=_moment(rest.disabled_at),
        sessions_from=rest.sessions_from,
        password_changed_at=_moment(rest.password_changed_at),
        email_verified_at=_moment(rest.email_verified_at),
        locale=rest.locale,
        awaits_verification=bool(rest.flags & _AWAITS_VERIFICATION),
    )


def _milliseconds(at: datetime | None) -> int | None:
    return None if at is None else milliseconds(at)


def _moment(at: int | None) -> datetime | None:
    return None if at is None else moment(at)
