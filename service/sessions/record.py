"""The session record: what Redis keeps under a token's digest.

    offset  length  field
    0       1       layout, 2
    1       4       generation of the token that is valid now
    5       6       opened at, ms since 1970
    11      5       last used, ms after it was opened
    16      5       life at the most, ms (34 years)
    21      1       how the person authenticated: bit 0 password, bit 1 TOTP, bit 2 recovery code;
                    bits 3 and 4 how many rotations in a row had a handoff to elsewhere, bits 5 to 7
                    the generation modulo 7, plus 1, of the last that had one (0: none)
    22      5       last proof of identity, ms after it was opened
    27      7       version of the user row by which it was opened
    34      1       flags: bit 0 says that a provider has said who the person is, bit 1 that the
                    session's id names its audience (`audiences.py`); the others have no meaning
                    yet, and all are copied
    35      …       device (`origin.py`)

In layout 1, that of most records, the fields at 22 to 34 are 0 and left out: the device is at 22.

Versions from before 25 November 2026 do not look at the layout. Where one of them has rotated a
session of layout 2, that still stands at 0, and the rest is as in layout 1. By which row it was
opened is lost, so it counts no more: its version is `COUNTS_NO_MORE`, less than any. It is told by
the length of an address at 22, 4 or 16, where it is not whole as layout 2 or the last proof that
this makes, after 198 days or more, is later than its life at the most. (Where the address was not
known it stays what it was, another version's. And in a life of more than 198 days it may be whole.)

All numbers big-endian. The scripts read and write offsets 0 to 34 (`records.lua`, `rotate.lua`,
`open_many.lua`, `handoffs.lua`, `twofactor/begin.lua`, `twofactor/proofs.lua`) and copy the rest.
What bits 3 to 7 of offset 21 say is bound to a generation because versions that do not know these
bits copy them from rotation to rotation.
"""

from datetime import datetime
from enum import IntFlag

import msgspec

from service.clock import moment
from service.errors import UnknownLayout
from service.sessions import row_version
from service.sessions.origin import unpack

_PLAIN, _FULL = 1, 2

PROOF = 21
"""Offset of how the person authenticated, for the scripts that change it."""

PLAIN_DEVICE, FULL_DEVICE = PROOF + 1, PROOF + 14
"""Where the device begins in each layout."""

_DEVICES = {_PLAIN: PLAIN_DEVICE, _FULL: FULL_DEVICE}
_PROOF_BITS, _FLAGS = 0b111, 34
_FLAG_FEDERATED = 1

COUNTS_NO_MORE = -1
"""Version of the row of a session of which it is lost."""

FLAG_AUDIENCE = 2
"""The flag of a session whose id names its audience."""


class Authentication(IntFlag):
    """How the person proved who they are when the session was opened."""

    PASSWORD = 1
    TOTP = 2
    RECOVERY_CODE = 4
    FEDERATED = 8

    @property
    def methods(self) -> tuple[str, ...]:
        """The `amr` claim (RFC 8176); `fed`: a provider has said who it is, however it knows."""
        return _METHODS[self._value_]

    def _spell_methods(self) -> tuple[str, ...]:
        first: tuple[str, ...] = ("pwd",)
        if Authentication.FEDERATED in self:
            first = ("fed", "pwd") if Authentication.PASSWORD in self else ("fed",)
        if Authentication.TOTP in self:
            return (*first, "otp", "mfa")
        if Authentication.RECOVERY_CODE in self:
            return (*first, "mfa")
        return first

    @property
    def packed(self) -> tuple[int, int]:
        """What stands of it in a record: the byte of the proof, and the flags."""
        flags = _FLAG_FEDERATED if Authentication.FEDERATED in self else 0
        return int(self) & _PROOF_BITS, flags

    @property
    def without_second_factor(self) -> "Authentication":
        """What is left of it once the account has no second factor."""
        return _ALL[self._value_ & _WITHOUT_SECOND]


# Looked up, since an operation on a flag costs a microsecond.
_FEDERATED = Authentication.FEDERATED.value
_WITHOUT_SECOND = Authentication.PASSWORD.value | _FEDERATED
_ALL = tuple(Authentication(bits) for bits in range(16))
_METHODS = tuple(each._spell_methods() for each in _ALL)


class Session(msgspec.Struct, frozen=True):
    """A living session. `expires_at` is its key's own deadline in Redis.

    `authenticated_at`: when the person last proved who they are. `row_version` is that of the user
    row by which it was opened, 0 where none was noted. `user_version` is that of the user row now,
    as far as was noted beside the session: 0 as at signup, `None` while the row changes.
    `has_audience`: its access tokens are for another audience than the default.
    """

    user_id: bytes
    id: bytes
    generation: int
    opened_at: datetime
    last_used_at: datetime
    expires_at: datetime
    authentication: Authentication
    ip_address: str | None
    user_agent: str | None
    authenticated_at: datetime
    row_version: int = 0
    user_version: int | None = 0
    has_audience: bool = False


def read(
    user_id: bytes,
    session_id: bytes,
    record: bytes,
    expires_at: int,
    user_version: bytes | None = None,
) -> Session:
    """Read a stored record as the session that it stands for.

    `expires_at` is its PEXPIRETIME, ms since 1970; `user_version` as the index has it. A session
    of which the version of the row is lost has `COUNTS_NO_MORE`, and the user store is to be asked.

    Raises:
        UnknownLayout: another version of this program has written it, or it is not whole. The
            scripts judge that alike (`unpack_record` of records.lua).
    """
    last_proof = row = 0
    try:
        device = _DEVICES[record[0]]
        if device == FULL_DEVICE:
            last_proof, row = int.from_bytes(record[22:27]), int.from_bytes(record[27:34])
            if row > row_version.HIGHEST or record[22] > record[16]:
                raise ValueError("the version of a user row, or the last proof")
        ip_address, user_agent = unpack(record[device:])
    except (LookupError, ValueError):
        return _read_without_row(user_id, session_id, record, expires_at)
    opened = int.from_bytes(record[5:11])
    return Session(
        user_id=user_id,
        id=session_id,
        generation=int.from_bytes(record[1:5]),
        opened_at=moment(opened),
        last_used_at=moment(opened + int.from_bytes(record[11:16])),
        expires_at=moment(expires_at),
        authentication=_authentication(record),
        ip_address=ip_address,
        user_agent=user_agent,
        authenticated_at=moment(opened + last_proof),
        row_version=row,
        user_version=row_version.read(user_version),
        has_audience=bool(_flags(record) & FLAG_AUDIENCE),
    )


def _read_without_row(user_id: bytes, session_id: bytes, record: bytes, expires_at: int) -> Session:
    """Read a record that says layout 2, and is of layout 1 from offset 1 on."""
    length = record[PLAIN_DEVICE : PLAIN_DEVICE + 1]  # of the address
    if record[:1] != bytes((_FULL,)) or length not in (b"\4", b"\20"):
        raise UnknownLayout("a session record") from None
    session = read(user_id, session_id, bytes((_PLAIN,)) + record[1:], expires_at)
    return msgspec.structs.replace(session, row_version=COUNTS_NO_MORE, user_version=None)


def _authentication(record: bytes) -> Authentication:
    federated = _FEDERATED if _flags(record) & _FLAG_FEDERATED else 0
    return _ALL[record[PROOF] & _PROOF_BITS | federated]


def _flags(record: bytes) -> int:
    return record[_FLAGS] if record[0] == _FULL else 0
