"""The local key service: keys that wrap data keys, in a file that only its owner can read."""

import base64
import glob
import os
import re
import secrets
import shlex
import stat
from contextlib import suppress
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.errors import SealBroken, StartupError
from service.keyring.envelope import DATA_KEY_SIZE

KEY_FILE_NAME = "local.keys"

_TITLE = "openshow-auth local keys, version 1"
_KEY_LINE = re.compile(r"(?P<id>[0-9a-f]{8}) (?P<key>[A-Za-z0-9+/]{43}=)")
_LARGEST_FILE = 65_536

_FORMAT = b"\x01"
_ID_END = 5
_NONCE_END = 17
_WRAPPED_SIZE = _NONCE_END + DATA_KEY_SIZE + 16


class LocalKeyFile:
    """Wraps data keys with AES-256-GCM under the newest key of a file; any key of it unwraps.

    The file is text: a title line, then a line for each key, newest last. Empty lines and lines
    that begin with `#` are skipped. An id is 8 hex digits, a key the base64 of 32 bytes::

        openshow-auth local keys, version 1
        4f3a91c2 <44 characters of base64>

    A wrapped data key is 65 bytes; its tag also covers version, key id and `aad`::

        0         1              5                  17                          49           65
        +---------+--------------+------------------+---------------------------+------------+
        | version | id of the    | nonce, random    | encrypted data key        | tag        |
        | 0x01    | wrapping key | 12 bytes         | 32 bytes                  | 16 bytes   |
        +---------+--------------+------------------+---------------------------+------------+

    To replace the wrapping key, append a line and run `openshow-auth keys rewrap`. The file is
    read anew at each call, so no key stays in memory and a key that was added counts at once. With
    `create`, the first `wrap` writes the file if there is none. `unwrap` never does, nor a `wrap`
    after the file has been read: a lost file must be missed, not replaced.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._create = create

    @classmethod
    def at(cls, data_dir: Path, given: Path | None) -> Self:
        """Choose the operator's file, which must exist, or the one in the data directory."""
        if given is not None:
            return cls(given, create=False)
        return cls(data_dir / KEY_FILE_NAME, create=True)

    def __repr__(self) -> str:
        return f"LocalKeyFile({str(self.path)!r}, keys='***')"

    def __str__(self) -> str:
        return f"the key file {self.path}"

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        """Encrypt a data key under the newest key of the file."""
        if len(data_key) != DATA_KEY_SIZE:
            raise ValueError("a data key has 32 bytes")
        if self._create:
            _ensure(self.path)
        key_id, key = list(self._keys().items())[-1]
        nonce = os.urandom(_NONCE_END - _ID_END)
        return _FORMAT + key_id + nonce + AESGCM(key).encrypt(nonce, data_key, _bound(key_id, aad))

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Decrypt a wrapped data key with the key of the file that it names."""
        keys = self._keys()
        if len(wrapped) != _WRAPPED_SIZE or wrapped[:1] != _FORMAT:
            raise SealBroken
        key_id, nonce = wrapped[1:_ID_END], wrapped[_ID_END:_NONCE_END]
        if key_id not in keys:
            raise SealBroken
        try:
            return AESGCM(keys[key_id]).decrypt(nonce, wrapped[_NONCE_END:], _bound(key_id, aad))
        except InvalidTag:
            raise SealBroken from None

    def _keys(self) -> dict[bytes, bytes]:
        try:
            keys = _parse(self.path, _read(self.path))
        except FileNotFoundError:
            raise StartupError(
                f"{self} is missing, and the data keys open with it only: put it in place,"
                " or name the right file in SERVICE_KMS_LOCAL_KEY_FILE"
            ) from None
        except OSError as error:
            raise StartupError(
                f"{self} cannot be read: {error.strerror}; SERVICE_KMS_LOCAL_KEY_FILE names another"
            ) from None
        self._create = False
        return keys


def _bound(key_id: bytes, aad: bytes) -> bytes:
    # Unambiguous without lengths: only the last part varies in length.
    return _FORMAT + key_id + aad


def _read(path: Path) -> bytes:
    # O_NONBLOCK, or opening a named pipe would hang the start.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found = os.fstat(file.fileno())  # of what is open, not of what the name means later
        if not stat.S_ISREG(found.st_mode):
            raise StartupError(f"the key file {path} is not a regular file")
        if found.st_mode & _forbidden(found.st_uid, os.geteuid()):
            fix = f"chmod 600 {shlex.quote(str(path))}"
            raise StartupError(f"the key file {path} is open to other users: {fix}")
        return file.read(_LARGEST_FILE + 1)


def _forbidden(owner: int, reader: int) -> int:
    """Return the bits that a key file's mode must not have: all rights of group and others.

    A secret that is mounted belongs to root, and whoever else reads it does so as its group.
    """
    if owner == 0 != reader:
        return stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
    return stat.S_IRWXG | stat.S_IRWXO


def _parse(path: Path, content: bytes) -> dict[bytes, bytes]:
    """Read keys by id, newest last. Errors name a line by its number: its text may be a key."""
    if len(content) > _LARGEST_FILE:
        raise StartupError(f"the key file {path} is malformed: larger than {_LARGEST_FILE} bytes")
    lines = content.decode("ascii", "replace").splitlines()
    if not lines or lines[0] != _TITLE:
        raise StartupError(f"the key file {path} is malformed: line 1 is not {_TITLE!r}")
    keys: dict[bytes, bytes] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line or line.startswith("#"):
            continue
        found = _KEY_LINE.fullmatch(line)
        key_id = bytes.fromhex(found["id"]) if found else b""
        if not found or key_id in keys:
            raise StartupError(
                f"the key file {path} is malformed: line {number} is not a new id of 8 hex digits,"
                " a space, and the base64 of 32 bytes"
            )
        keys[key_id] = base64.b64decode(found["key"])
    if not keys:
        raise StartupError(f"the key file {path} is malformed: it holds no key")
    return keys


def _ensure(path: Path) -> None:
    """Make sure that a whole key file stands at `path` and survives a power cut.

    Processes that start at once agree on one: the first link wins. A kill at any point leaves no
    file at `path` or a whole one, and at most a draft, which the next start clears away.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            draft = _write_draft(path)
            # Exists: another process was first. Not found: it has cleared our draft away as well.
            with suppress(FileExistsError, FileNotFoundError):
                os.link(draft, path)
        for draft in path.parent.glob(f"{glob.escape(_draft_prefix(path))}*"):
            draft.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise StartupError(f"the key file {path} cannot be created: {error.strerror}") from None


def _draft_prefix(path: Path) -> str:
    return f".{path.name}.draft-"


def _write_draft(path: Path) -> Path:
    draft = path.with_name(_draft_prefix(path) + secrets.token_hex(8))
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(f"{_TITLE}\n{secrets.token_hex(4)} {key}\n")
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
