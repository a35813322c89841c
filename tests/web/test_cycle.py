"""How an answer is written: whole, in one call, and never with a header that ends a line."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.web.in_process import Receive, Send, answer, connected

GET, HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"


class Written:
    """A transport that keeps what is written, and writes it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self._transport.write(data)


async def written_by(*messages: dict[str, Any], asked: bytes = GET) -> tuple[list[bytes], bytes]:
    """What is written for these messages of an app, and what the client reads."""

    async def app(_: dict[str, Any], receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async with connected(app) as (protocol, client):
        protocol.transport = written = Written(protocol.transport)  # type: ignore[assignment]
        return written.pieces, await answer(client, asked)


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(piece: bytes, **more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": piece, **more}


@pytest.mark.parametrize("asked", [GET, HEAD])
async def test_head_and_body_are_one_write(asked: bytes) -> None:
    """A system call and a packet where there were two; HEAD has the head alone."""
    pieces, read = await written_by(start((b"content-length", b"2")), body(b"ok"), asked=asked)
    assert len(pieces) == 1
    assert pieces[0] == read
    head, _, rest = read.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\ncontent-length: 2" in head
    assert rest == (b"ok" if asked is GET else b"")


async def test_an_answer_without_a_body() -> None:
    """204 has no length and is whole."""
    pieces, read = await written_by(start(status=204), body(b""))
    assert pieces == [read]
    assert read.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"transfer-encoding" not in read


async def test_an_answer_in_pieces() -> None:
    """What has no length known in advance goes out in chunks, as uvicorn writes it."""
    _, read = await written_by(start(), body(b"one", more_body=True), body(b"two"))
    assert read.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert b"transfer-encoding: chunked" in read


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-told", b"a\r\nset-cookie: b")],
        [(b"x-told", b"a\nset-cookie: b")],
        [(b"x-told", b"a\rb")],
        [(b"x-told", b"a\0b")],
        [(b"x-told", b"a\x7fb")],
        [(b"x told", b"a")],
        [(b"x:told", b"a")],
        [(b"x-told\r\nset-cookie", b"a")],
    ],
)
async def test_no_header_ends_a_line(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """A value that would begin another header is a defect, and nothing of it is sent."""
    pieces, read = await written_by(start(*headers, (b"content-length", b"0")), body(b""))
    assert b"x-told" not in b"".join(pieces)
    assert b"set-cookie" not in read
    assert not read.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("length", [b"1", b"3"])
async def test_a_length_that_is_wrong(length: bytes) -> None:
    """The connection ends: whoever reads must not take the next answer for the rest of this."""
    asked = GET + GET
    _, read = await written_by(start((b"content-length", length)), body(b"ok"), asked=asked)
    assert not read.endswith(b"\r\n\r\nok") or length == b"3"
    assert read.count(b"HTTP/1.1") <= 1


async def test_the_last_answer_says_so() -> None:
    """`connection: close`, in the one write too."""
    asked = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    pieces, read = await written_by(start((b"content-length", b"0")), body(b""), asked=asked)
    assert pieces == [read]
    assert read.endswith(b"\r\nconnection: close\r\n\r\n")


async def test_the_app_closes_the_connection() -> None:
    """An answer that says by itself that it is the last ends the connection."""
    fields = start((b"connection", b"close"), (b"content-length", b"0"))
    _, read = await written_by(fields, body(b""), asked=GET + GET)
    assert read.count(b"HTTP/1.1 200") == 1
    assert read.count(b"connection: close") == 1
