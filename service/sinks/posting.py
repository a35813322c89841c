"""Posts to a receiver over HTTP/1.1 by a connection that stays open, within a deadline.

Redirects are not followed; of an answer no more than 64 KiB is read, and of those only the status
counts.
"""

import asyncio
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache

from service.sinks.receivers import Addresses, Network, Receiver

PATIENCE = 5.0
"""Seconds for a message, resolving and connecting included."""

_MOST = 65_536
_STATUS = re.compile(r"[1-9][0-9]{2}", re.ASCII)


class PostFailed(Exception):
    """There is no answer that can be read. The message says why."""


class Line:
    """A connection to a receiver, opened when it is needed."""

    def __init__(self, receiver: Receiver, addresses: Addresses) -> None:
        """Open nothing yet. `addresses`: of the receiver."""
        self._receiver = receiver
        self._addresses = addresses
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, headers: Mapping[str, str], body: bytes) -> int:
        """Send a body and return the status of the answer.

        Raises:
            PostFailed: there is none. The receiver may have got it.
            service.sinks.receivers.Forbidden: it must not be called; nothing was sent.
        """
        was_open = self._streams is not None
        try:
            with _told("answer"):
                async with asyncio.timeout(PATIENCE):
                    try:
                        return await self._exchange(headers, body)
                    except (OSError, EOFError, ValueError):
                        if not was_open:
                            raise
                    self._drop()  # it had been closed meanwhile
                    return await self._exchange(headers, body)
        except BaseException:  # cancelled or failed: an answer may be under way
            self._drop()
            raise

    async def reach(self) -> None:
        """Connect, and send nothing. Raises as `post`."""
        with _told("connection"):
            async with asyncio.timeout(PATIENCE):
                await self._open()

    async def aclose(self) -> None:
        """Close the connection."""
        self._drop()

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _exchange(self, headers: Mapping[str, str], body: bytes) -> int:
        reader, writer = self._streams or await self._open()
        fields = {
            "Host": self._receiver.authority,
            "User-Agent": "openshow-auth",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }
        head = f"POST {self._receiver.path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in fields.items()
        )
        writer.write(head.encode() + b"\r\n" + body)
        await writer.drain()
        status, keep = await _answer(reader)
        if not keep:
            self._drop()
        return status

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        receiver = self._receiver
        address = await self._addresses.one()
        context = _tls() if receiver.is_secure else None
        self._streams = await asyncio.open_connection(
            str(address),
            receiver.port,
            ssl=context,
            server_hostname=receiver.host if context else None,
            limit=_MOST,
        )
        return self._streams


class Lines:
    """Connections to one receiver, one for each stream: none waits for what another one posts."""

    def __init__(self, receiver: Receiver, allowed: Sequence[Network]) -> None:
        """Open nothing yet. `allowed`: networks that may be called though they are not public."""
        self._receiver = receiver
        self._addresses = Addresses(receiver, allowed)
        self._lines: dict[int, Line] = {}

    def of(self, bucket: int) -> Line:
        """Return the connection for a stream."""
        if bucket not in self._lines:
            self._lines[bucket] = Line(self._receiver, self._addresses)
        return self._lines[bucket]

    async def aclose(self) -> None:
        """Close all of them."""
        for line in self._lines.values():
            await line.aclose()


@contextmanager
def _told(lacking: str) -> Iterator[None]:
    """Raise `PostFailed` in place of what a connection fails with, in words of ours alone."""
    try:
        yield
    except TimeoutError:
        raise PostFailed(f"no {lacking} in {PATIENCE:.0f} s") from None
    except ssl.SSLError:
        raise PostFailed("its certificate does not verify, or TLS failed") from None
    except (OSError, EOFError, ValueError):
        raise PostFailed("the connection failed") from None


@cache
def _tls() -> ssl.SSLContext:
    """Read the certificates that are trusted, once: that takes 20 ms, in which nobody is served."""
    return ssl.create_default_context()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read an answer. Return its status, and whether the connection can be used again."""
    with suppress(asyncio.LimitOverrunError):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ")
        if not version.startswith("HTTP/1.") or not _STATUS.fullmatch(status):
            raise ValueError("no HTTP")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines if line)
        }
        return int(status), version == "HTTP/1.1" and await _skip(reader, int(status), fields)
    raise ValueError("a head that is too long")


async def _skip(reader: asyncio.StreamReader, status: int, fields: Mapping[str, str]) -> bool:
    """Read past a body whose length was announced. Return whether the connection can go on."""
    if fields.get("connection", "").lower() == "close" or "transfer-encoding" in fields:
        return False
    if status in (204, 304):
        return True
    length = fields.get("content-length", "")
    if not (length.isascii() and length.isdigit()) or len(length) > 5 or int(length) > _MOST:
        return False
    await reader.readexactly(int(length))
    return True
