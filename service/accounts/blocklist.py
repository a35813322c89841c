"""A file of passwords that are known to others: as they are, or as SHA-1 digests.

Digests have the form in which Have I Been Pwned hands them out, `HASH:COUNT` a line, the count
optional, in upper or lower case. A file sorted by them is searched where it lies, however large;
of anything else the first eight bytes of each digest are kept in memory.
"""

import bisect
import hashlib
import mmap
import re
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from service.accounts.folding import folded
from service.errors import SettingsError

_SETTING = "SERVICE_PASSWORD_BLOCKLIST"
_DIGEST = re.compile(rb"([0-9A-Fa-f]{40})(?::[0-9]{1,18})?[ \t]*")
_HEX = 40
_OTHER_DIGEST = re.compile(rb"[ \t]*[0-9A-Fa-f]{32,128}[ \t]*(?:[:;, \t][ \t]*[0-9]{1,18}[ \t]*)?")
"""What is no line of ours and no password either: NTLM, SHA-256, the digests of a range without
their beginning, other separators."""
_BOM = b"\xef\xbb\xbf"
_LONGEST_LINE = 8_192
_LARGEST_LOADED = 256 * 2**20
_LARGEST_CHECKED = 16 * 2**20
"""Sorted files up to this size are read once, line by line; of larger ones, samples."""
_SAMPLES = 2_000
_CHUNK = 131_072


class Blocklist:
    """A file of passwords that must not be chosen."""

    def __init__(self, file: Path) -> None:
        """Open and check the file.

        Raises:
            SettingsError: it cannot be read, is empty, or is neither of the two kinds.
        """
        self._chunks: list[array[int]] = []
        self._sorted: mmap.mmap | None = None
        try:
            if not file.is_file():  # a pipe would be waited for
                raise OSError
            with file.open("rb") as opened:
                size = opened.seek(0, 2)
                if size == 0:
                    raise _wrong("is empty")
                lines = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            raise _wrong("cannot be read") from None
        first = _first(lines)
        if _OTHER_DIGEST.fullmatch(first) and not _DIGEST.fullmatch(first):
            raise _wrong("begins with digests of another form, not 40 hex digits and :COUNT")
        if not _DIGEST.fullmatch(first):
            self._load(map(_digest_of_text, _lines(lines)), size)
        elif lines[:_HEX] == first[:_HEX] and _is_sorted(lines):
            self._sorted = lines
        else:
            self._load(map(_digest_of_line, _lines(lines)), size)

    def holds(self, *spellings: str) -> bool:
        """Tell whether the password is in the file, in any of these spellings."""
        for text in set(spellings):
            digest = _sha1(text.encode("utf-8", "surrogatepass"))
            if self._sorted is not None:
                if _found(self._sorted, digest.hexdigest().upper().encode()):
                    return True
            else:
                key = int.from_bytes(digest.digest()[:8])
                for chunk in self._chunks:
                    at = bisect.bisect_left(chunk, key)
                    if at < len(chunk) and chunk[at] == key:
                        return True
        return False

    def _load(self, digests: Iterable[int], size: int) -> None:
        if size > _LARGEST_LOADED:
            raise _wrong(
                f"has more than {_LARGEST_LOADED:,} bytes: make it SHA-1 digests sorted by hash"
            )
        remaining = iter(digests)
        while chunk := sorted(islice(remaining, _CHUNK)):
            self._chunks.append(array("Q", chunk))
        if not self._chunks:
            raise _wrong("is empty")


def _wrong(what: str) -> SettingsError:
    return SettingsError(
        f"{_SETTING} must be a file of passwords or of SHA-1 digests, one a line; it {what}"
    )


def _first(lines: mmap.mmap) -> bytes:
    """Return the first line that is not empty."""
    try:
        _, first = next(_lines(lines), (0, b""))
        return first[:_LONGEST_LINE]
    finally:
        lines.seek(0)


def _lines(lines: mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, without its end, and its number."""
    for number, line in enumerate(iter(lines.readline, b""), 1):
        text = line.rstrip(b"\r\n")
        if number == 1:
            text = text.removeprefix(_BOM)
        if text and not text.isspace():
            yield number, text


def _digest_of_text(numbered: tuple[int, bytes]) -> int:
    number, line = numbered
    try:
        if b"\0" in line or b"\r" in line or len(line) > _LONGEST_LINE:
            raise ValueError
        text = line.decode()
    except ValueError:
        raise _wrong(f"has no UTF-8 text in line {number}") from None
    if _DIGEST.fullmatch(line) or (_OTHER_DIGEST.fullmatch(line) and not line.isalnum()):
        raise _wrong(f"begins with passwords and has a digest in line {number}")
    return int.from_bytes(_sha1(folded(text).encode()).digest()[:8])


def _digest_of_line(numbered: tuple[int, bytes]) -> int:
    number, line = numbered
    found = _DIGEST.fullmatch(line)
    if found is None:
        raise _wrong(f"begins with digests and has none in line {number}")
    return int(found[1][:16], 16)


def _is_sorted(lines: mmap.mmap) -> bool:
    """Tell whether the lines are in the order of their digests. Raises for one that has none."""
    size = len(lines)
    last = b""
    if size <= _LARGEST_CHECKED:
        for place, (number, line) in enumerate(_lines(lines), 1):
            _digest_of_line((number, line))
            if line[:_HEX].upper() < last or place != number:  # or with empty lines between
                lines.seek(0)
                return False
            last = line[:_HEX].upper()
        return True
    for sample in range(_SAMPLES):
        start, end = _line_at(lines, sample * (size - 1) // (_SAMPLES - 1))
        if not _DIGEST.fullmatch(lines[start:end].removesuffix(b"\r")):
            raise _wrong(f"begins with digests and has none at byte {start}")
        if lines[start : start + _HEX].upper() < last:
            return False
        last = lines[start : start + _HEX].upper()
    return True


def _found(lines: mmap.mmap, digest: bytes) -> bool:
    """Search by halves between two offsets; a line is looked at from its beginning."""
    low, high = 0, len(lines)
    while high and lines[high - 1] in b"\r\n":
        high -= 1
    while low < high:
        start, end = _line_at(lines, (low + high) // 2)
        found = lines[start : start + _HEX].upper()
        if found == digest:
            return True
        if found < digest:
            low = end + 1
        else:
            high = start
    return False


def _line_at(lines: mmap.mmap, offset: int) -> tuple[int, int]:
    """Find where the line with this offset begins and ends, within the length a line may have."""
    start = lines.rfind(b"\n", max(0, offset - _LONGEST_LINE), offset) + 1
    end = lines.find(b"\n", offset, offset + _LONGEST_LINE)
    if start == 0:
        start = max(0, offset - _LONGEST_LINE)
    return start, min(offset + _LONGEST_LINE, len(lines)) if end < 0 else end


def _sha1(text: bytes) -> "hashlib._Hash":
    # Not for secrecy: it is what the lists are made of.
    return hashlib.sha1(text, usedforsecurity=False)
