"""Virtual users from a file of `scripts/seed --export`, each used once and put back afterwards.

A refresh token that was used is spent, and coming back with it later is what a thief does: the
service ends the session. So FILE.used remembers how far the file was read, before anything is
sent, and those whose sessions live are appended with their newest tokens when a run ends.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tools.load.target import UnusableError
from tools.load.virtual_users import Account, VirtualUser
from tools.seed.line import Line

_HEAD = 4096
"""Bytes at the beginning that tell one file from another."""


class _Used(msgspec.Struct):
    head: str
    """SHA-256 of the first bytes, as many as there were up to _HEAD, of which file this tells."""
    head_bytes: int
    offset: int


class TokenFile:
    """Reads from where the last run has stopped."""

    def __init__(self, path: Path) -> None:
        """Raise UnusableError where there is no such file."""
        self._path = path
        self._beside = path.with_name(path.name + ".used")
        self._accounts: dict[str, Account] = {}
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device never end
            raise UnusableError(f"--tokens {path}: not a file; scripts/seed --export writes one")
        try:
            self._offset = self._remembered()
        except (OSError, msgspec.MsgspecError) as error:
            raise UnusableError(f"--tokens {path}: {error}") from None

    def take(self, count: int) -> list[VirtualUser]:
        """Take so many users, or as many as are left.

        Raises:
            UnusableError: a line is not what scripts/seed writes.
        """
        users: list[VirtualUser] = []
        decode = msgspec.json.Decoder(Line).decode
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for text in file:
                if len(users) == count:
                    break
                try:
                    users.append(self._user_of(decode(text)))
                except msgspec.MsgspecError as error:
                    raise UnusableError(f"--tokens {self._path}: {error}") from None
                self._offset += len(text)
        self._remember()
        return users

    def put_back(self, users: Iterable[VirtualUser]) -> None:
        """Append those whose sessions live, with their newest tokens."""
        encode = msgspec.json.Encoder().encode
        with self._path.open("ab") as file:
            for user in users:
                if user.line:  # else it was opened by a login
                    newest = msgspec.structs.replace(
                        user.line,
                        refresh_token=user.refresh_token,
                        access_token=user.access_token,
                        access_expires_at=int(user.expires_at),
                    )
                    file.write(encode(newest) + b"\n")

    def _user_of(self, line: Line) -> VirtualUser:
        account = self._accounts.get(line.user)
        if account is None:
            account = self._accounts[line.user] = Account(line.email, line.password, 0)
        account.sessions += 1
        expires_at = line.access_expires_at
        return VirtualUser(account, line.refresh_token, line.access_token, expires_at, line)

    def _remembered(self) -> int:
        with self._path.open("rb") as file:
            head = file.read(_HEAD)
            if not self._beside.exists():
                return 0
            used = msgspec.json.decode(self._beside.read_bytes(), type=_Used)
            same = _digest(head[: used.head_bytes]) == used.head
            return used.offset if same and used.offset <= self._path.stat().st_size else 0

    def _remember(self) -> None:
        with self._path.open("rb") as file:
            head = file.read(_HEAD)
        used = _Used(_digest(head), len(head), self._offset)
        scratch = self._beside.with_name(self._beside.name + ".new")
        scratch.write_bytes(msgspec.json.encode(used))
        scratch.replace(self._beside)


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()
