"""Envelope encryption: what must be stored sealed goes through a `Keyring`."""

import os
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.errors import KeyServiceUnavailable, SealBroken

DATA_KEY_SIZE = 32
LARGEST_EPOCH = 2**32 - 1

_FORMAT = 1
_HEADER = struct.Struct(">BI")  # format version, epoch
_NONCE_SIZE = 12
_TAG_SIZE = 16
_SHORTEST = _HEADER.size + _NONCE_SIZE + _TAG_SIZE

SEALED_BYTES = _SHORTEST
"""By how much a sealed blob is longer than what is sealed."""


class _Subkey(NamedTuple):
    """The key of one purpose in one epoch, with the bytes that are the same in all its blobs."""

    cipher: AESGCM
    header: bytes
    bound_prefix: bytes


class Keyring:
    """Seals and opens with one data key per epoch; the current epoch seals, all of them open.

    A sealed blob, format version 1::

        0         1               5                  17                    n-16         n
        +---------+---------------+------------------+---------------------+------------+
        | version | epoch, 32 bit | nonce, random    | ciphertext          | tag        |
        | 0x01    | big-endian    | 12 bytes         | as long as the text | 16 bytes   |
        +---------+---------------+------------------+---------------------+------------+

    The cipher is AES-256-GCM under HKDF-SHA-256(data key, no salt, info = purpose), RFC 5869.
    The tag also covers what the blob does not carry, each variable part behind its length::

        version | epoch | len(purpose), 16 bit | purpose | len(bound_to), 32 bit | bound_to

    so a blob opens only for the purpose and the record that it was sealed for. `purpose` is a
    constant of the code, never input: each one is a cached key. `bound_to` names the record,
    for instance a user id. One epoch may seal 2**32 blobs per purpose (NIST SP 800-38D, 8.3).
    """

    __slots__ = ("_data_keys", "_subkeys", "current_epoch", "on_unknown_epoch")

    def __init__(self, data_keys: Mapping[int, bytes], current: int | None = None) -> None:
        """Take 32-byte data keys by epoch, at least one; raise ValueError for anything else.

        `current` is the epoch that seals, the newest if it is not named.
        """
        if not data_keys or any(len(key) != DATA_KEY_SIZE for key in data_keys.values()):
            raise ValueError("a keyring needs data keys of 32 bytes each")
        if not all(1 <= epoch <= LARGEST_EPOCH for epoch in data_keys):
            raise ValueError("an epoch is a number of 32 bits, from 1 on")
        self._data_keys = dict(data_keys)
        self._subkeys: dict[tuple[int, str], _Subkey] = {}
        self.current_epoch = max(data_keys) if current is None else current
        self.on_unknown_epoch: Callable[[], None] = lambda: None
        """Called when a blob names an epoch that is not here, which another process may know."""

    @classmethod
    def closed(cls) -> "Keyring":
        """Make a keyring without keys: until it adopts some, it raises `KeyServiceUnavailable`."""
        keyring = cls({1: bytes(DATA_KEY_SIZE)})
        keyring._data_keys = {}
        return keyring

    def adopt(self, other: "Keyring") -> None:
        """Take over the data keys of another keyring, and forget those that it has not."""
        self._subkeys = {
            known: subkey
            for known, subkey in self._subkeys.items()
            if other._data_keys.get(known[0]) == self._data_keys.get(known[0])
        }
        self._data_keys = other._data_keys
        self.current_epoch = other.current_epoch

    def __repr__(self) -> str:
        return f"Keyring(epochs={sorted(self._data_keys)}, data_keys='***')"

    def seal(self, plaintext: bytes, *, purpose: str, bound_to: bytes) -> bytes:
        """Seal a text for a purpose and a record; the blob is 33 bytes longer."""
        return self._seal(plaintext, purpose, bound_to, os.urandom(_NONCE_SIZE))

    def open(self, blob: bytes, *, purpose: str, bound_to: bytes) -> bytes:
        """Open a blob. Raises `SealBroken`, the same whatever is wrong with it."""
        if len(blob) < _SHORTEST:
            raise SealBroken
        version, epoch = _HEADER.unpack_from(blob)
        if version != _FORMAT:
            raise SealBroken
        if epoch not in self._data_keys:
            self._refuse_if_closed()
            self.on_unknown_epoch()
            raise SealBroken
        subkey = self._subkey(epoch, purpose)
        nonce_end = _HEADER.size + _NONCE_SIZE
        try:
            return subkey.cipher.decrypt(
                blob[_HEADER.size : nonce_end],
                blob[nonce_end:],
                _bound(subkey, bound_to),
            )
        except InvalidTag:
            raise SealBroken from None

    def _seal(self, plaintext: bytes, purpose: str, bound_to: bytes, nonce: bytes) -> bytes:
        """Seal under a nonce of the caller's: beyond `seal`, for test vectors only.

        A nonce that comes twice under one key breaks GCM.
        """
        self._refuse_if_closed()
        subkey = self._subkey(self.current_epoch, purpose)
        sealed = subkey.cipher.encrypt(nonce, plaintext, _bound(subkey, bound_to))
        return subkey.header + nonce + sealed

    def _refuse_if_closed(self) -> None:
        if not self._data_keys:
            raise KeyServiceUnavailable("the data keys are not open yet")

    def _subkey(self, epoch: int, purpose: str) -> _Subkey:
        subkey = self._subkeys.get((epoch, purpose))
        if subkey is None:
            subkey = _derive(self._data_keys[epoch], epoch, purpose)
            self._subkeys[epoch, purpose] = subkey
        return subkey


def epoch_of(blob: bytes) -> int:
    """Read the epoch that a blob names. Raises `SealBroken` for what is no blob of ours."""
    if len(blob) < _SHORTEST:
        raise SealBroken
    version, epoch = _HEADER.unpack_from(blob)
    if version != _FORMAT:
        raise SealBroken
    return int(epoch)


def _derive(data_key: bytes, epoch: int, purpose: str) -> _Subkey:
    info = purpose.encode()
    if not info:
        raise ValueError("a purpose has a name")
    key = HKDF(algorithm=SHA256(), length=DATA_KEY_SIZE, salt=None, info=info).derive(data_key)
    header = _HEADER.pack(_FORMAT, epoch)
    return _Subkey(AESGCM(key), header, header + struct.pack(">H", len(info)) + info)


def _bound(subkey: _Subkey, bound_to: bytes) -> bytes:
    return subkey.bound_prefix + struct.pack(">I", len(bound_to)) + bound_to
