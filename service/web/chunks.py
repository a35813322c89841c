"""Finds where a chunked body ends (RFC 9112, section 7.1)."""

import re

LONGEST_LINE = 256
"""Bytes of a line that says how long a chunk is, extensions included."""

MOST_CHUNKS = 4096
"""Of a body of 64 KiB at most. Each costs what a hundred bytes do: a few connections full of
single bytes would keep everybody waiting for seconds."""

_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:;[^\r\n]*)?\r\n")


class Malformed(Exception):
    """It is not a chunked body."""


class TooManyChunks(Exception):
    """It comes in more pieces than anything of its length needs."""


class TooManyTrailers(Exception):
    """Its trailers are more, or longer, than there is room for."""


class ChunkedBody:
    """Follows a body through the pieces in which it arrives, and keeps none of it.

    Only the end of the message is looked for; the parser reads the same bytes and judges them. But
    for trailers, which are judged here, so that nothing can take them for headers.
    """

    __slots__ = ("_chunks", "_fields", "_in_trailers", "_line", "_room", "_skip", "trailers")

    def __init__(self, room: int, fields: int) -> None:
        """Begin a body. `room` bytes and `fields` fields are left for trailers."""
        self._room = room
        self._fields = fields
        self._chunks = MOST_CHUNKS  # that may still come
        self._in_trailers = False
        self._line = b""  # the beginning of a line whose end has not come yet
        self.trailers = 0
        """How many of the last bytes of the message's piece that was given last come after the
        chunks: trailers, and the empty line that ends them."""
        self._skip = 0  # bytes of a chunk, and of the line end behind it, that are still to come

    def end(self, data: bytes) -> int | None:
        """Find where in `data`, the next piece, the message ends; `None`: it goes on.

        Raises:
            Malformed, TooManyChunks, TooManyTrailers
        """
        at = self.trailers = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            end = data.find(b"\n", at) + 1
            piece = data[at : end or len(data)]
            self._line += piece
            at += len(piece)
            self._check_length(len(piece))
            if self._in_trailers:
                self.trailers += len(piece)
            if end:
                line, self._line = self._line, b""
                if self._is_last(line):
                    return at
        return None

    def _check_length(self, more: int) -> None:
        if self._in_trailers:
            self._room -= more
            if self._room < 0:
                raise TooManyTrailers
        elif len(self._line) > LONGEST_LINE:
            raise Malformed

    def _is_last(self, line: bytes) -> bool:
        if self._in_trailers:
            if line == b"\r\n":
                return True
            self._fields -= 1
            if self._fields < 0:
                raise TooManyTrailers
            if not _TRAILER.fullmatch(line):
                raise Malformed
            return False
        found = _SIZE.fullmatch(line)
        if found is None:
            raise Malformed
        size = int(found[1], 16)
        if size:
            self._skip = size + 2
            self._chunks -= 1
            if self._chunks < 0:
                raise TooManyChunks
        else:
            self._in_trailers = True
        return False
