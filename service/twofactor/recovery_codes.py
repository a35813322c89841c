"""Recovery codes: 80 random bits each, shown once as `XXXX-XXXX-XXXX-XXXX`, kept as digests.

Spelt in Crockford's Base32, which has no I, L, O or U; read generously: case, dashes and spaces do
not matter, O counts as 0, I and L as 1. With 80 bits a plain SHA-256 cannot be searched.
"""

import hashlib
import os

COUNT = 10
CODE_BYTES = 10

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_LETTERS = 16
_LONGEST_INPUT = 64


def new_codes() -> list[bytes]:
    """Ten fresh codes."""
    return [os.urandom(CODE_BYTES) for _ in range(COUNT)]


def spell(code: bytes) -> str:
    """The form in which a person sees a code."""
    number = int.from_bytes(code)
    letters = "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_LETTERS)))
    return "-".join(letters[start : start + 4] for start in range(0, _LETTERS, 4))


def read(text: str) -> bytes | None:
    """The code that a person typed, or `None` for what cannot be one."""
    if len(text) > _LONGEST_INPUT:
        return None
    letters = text.replace("-", "").replace(" ", "").upper()
    if len(letters) != _LETTERS or any(letter not in _VALUES for letter in letters):
        return None
    number = 0
    for letter in letters:
        number = number << 5 | _VALUES[letter]
    return number.to_bytes(CODE_BYTES)


def digest(user_id: bytes, code: bytes) -> bytes:
    """What is stored of a code. Bound to its user, so it is nobody else's."""
    return hashlib.sha256(b"recovery code\0" + user_id + code).digest()
