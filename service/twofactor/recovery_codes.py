"""Recovery codes: 80 random bits each, shown once as `XXXX-XXXX-XXXX-XXXX`, kept as keyed digests.

Spelt in Crockford's Base32, which has no I, L, O or U; read generously: case and whatever is no
letter or digit do not matter, O counts as 0, I and L as 1.

Kept is `HMAC-SHA-256(key, user id | enrolment id | code)`, with a key derived from the pepper of
passwords (HKDF, RFC 5869): a dump of the table cannot be searched, and a digest that is moved to
another row is that of no code. Before, it was one SHA-256 over user id and code: such digests have
the same length, and are good until they are used.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence

from service.errors import KeyServiceUnavailable
from service.keyring.derivation import derive

COUNT = 10
CODE_BYTES = 10

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_LETTERS = 16
_LONGEST_INPUT = 256
_PURPOSE = b"recovery code digest, version 1"


def new_codes() -> list[bytes]:
    """Mint ten fresh codes, of one system call."""
    random = os.urandom(CODE_BYTES * COUNT)
    return [random[start : start + CODE_BYTES] for start in range(0, len(random), CODE_BYTES)]


def spell(code: bytes) -> str:
    """Spell a code as a person sees it."""
    number = int.from_bytes(code)
    letters = "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_LETTERS)))
    return "-".join(letters[start : start + 4] for start in range(0, _LETTERS, 4))


def read(text: str) -> bytes | None:
    """Read a code that a person typed; `None` for what cannot be one."""
    if len(text) > _LONGEST_INPUT:
        return None
    letters = [char.upper() if char.isascii() else char for char in text if char.isalnum()]
    if len(letters) != _LETTERS or any(letter not in _VALUES for letter in letters):
        return None
    number = 0
    for letter in letters:
        number = number << 5 | _VALUES[letter]
    return number.to_bytes(CODE_BYTES)


class RecoveryDigests:
    """Digests codes for storage, under keys derived from the peppers of passwords, by scheme."""

    def __init__(self, peppers: Mapping[int, bytes]) -> None:
        self.use(peppers)

    def use(self, peppers: Mapping[int, bytes]) -> None:
        """Digest under the newest of these and know all of them from now on. None: not yet."""
        self._keys = [derive(peppers[scheme], _PURPOSE) for scheme in sorted(peppers, reverse=True)]

    def of(self, user_id: bytes, enrolment_id: bytes, code: bytes) -> bytes:
        """Digest a fresh code for storage.

        Raises:
            KeyServiceUnavailable: the peppers are not open yet.
        """
        if not self._keys:
            raise KeyServiceUnavailable("the peppers are not open yet")
        return hmac.digest(self._keys[0], user_id + enrolment_id + code, "sha256")

    def candidates(self, user_id: bytes, enrolment_id: bytes, code: bytes) -> Sequence[bytes]:
        """Make all digests that may be stored of a code that was typed, the newest kind first.

        Raises:
            KeyServiceUnavailable: the peppers are not open yet.
        """
        if not self._keys:
            raise KeyServiceUnavailable("the peppers are not open yet")
        message = user_id + enrolment_id + code
        keyed = [hmac.digest(key, message, "sha256") for key in self._keys]
        return [*keyed, hashlib.sha256(b"recovery code\0" + user_id + code).digest()]
