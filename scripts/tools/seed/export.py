"""The file of tokens: JSON Lines for load generators, one session a line, mode 0600."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from service.access_tokens.reader import decode
from service.sessions.token_pair import TokenPair
from tools.seed.accounts import Refused
from tools.seed.line import Line

_BLOCK = 1 << 20


class _Expiry(msgspec.Struct, frozen=True):
    exp: int


def line(user_id: bytes, email: str, password: str, tokens: TokenPair) -> Line:
    """Make the line of a session that has just been opened."""
    claims = decode(tokens.access_token.split(".")[1].encode())
    return Line(
        user=user_id.hex(),
        email=email,
        password=password,
        session=tokens.session_id.hex(),
        refresh_token=tokens.refresh_token,
        access_token=tokens.access_token,
        access_expires_at=msgspec.json.decode(claims, type=_Expiry).exp,
    )


class Export:
    """The file, until it is closed. What an earlier run has written stays; new lines come after it.

    A last line that a killed run left without its end is cut off.
    """

    def __init__(self, path: Path, limit: int | None) -> None:
        """Open the file, or make it. `limit`: the most lines that it may have in all.

        Raises:
            Refused: it cannot be written, or holds something else.
        """
        self.path = path
        self._encoder = msgspec.json.Encoder()
        if path.exists() and not path.is_file():  # a device, say, which others use, too
            raise Refused(f"--export {path}: not a file; name one")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            os.fchmod(self._file, 0o600)
            self.found = self._prepare()
        except OSError as error:
            raise Refused(f"--export {path}: {error.strerror}") from None
        self.lines = self.found
        self._room = limit - self.found if limit is not None else None

    def close(self) -> None:
        os.close(self._file)

    @property
    def is_full(self) -> bool:
        """Whether it has as many lines as it may have."""
        return self._room is not None and self._room <= 0

    def take(self, wanted: int) -> int:
        """Take places in the file for so many sessions, or for as many as it has room for."""
        if self._room is None:
            return wanted
        taken = max(0, min(wanted, self._room))
        self._room -= taken
        return taken

    def write(self, lines: Iterable[Line]) -> None:
        """Add the lines at once.

        Raises:
            Refused: they cannot be written, such as on a full disk.
        """
        texts = [self._encoder.encode(line) + b"\n" for line in lines]
        rest = memoryview(b"".join(texts))
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise Refused(f"--export {self.path}: {error.strerror}") from None
        self.lines += len(texts)

    def _prepare(self) -> int:
        """Count whole lines, after what is left of another has been cut off."""
        lines = whole = place = 0
        while block := os.pread(self._file, _BLOCK, place):
            if place == 0:
                self._recognise(block.partition(b"\n")[0], b"\n" in block)
            lines += block.count(b"\n")
            if b"\n" in block:
                whole = place + block.rindex(b"\n") + 1
            place += len(block)
        if place > whole:
            os.ftruncate(self._file, whole)
        return lines

    def _recognise(self, first: bytes, is_whole: bool) -> None:
        """See to it that nobody's other file is written to."""
        ours = b'{"user":"'
        try:
            if is_whole:
                msgspec.json.decode(first, type=Line)
        except msgspec.DecodeError:
            is_ours = False
        else:
            is_ours = first[: len(ours)] == ours[: len(first)]
        if not is_ours:
            raise Refused(f"--export {self.path}: the file holds something else; name another")
