"""Where a chunked body ends, in whatever pieces it arrives; in process."""

import pytest

from service.web.chunks import (
    LONGEST_LINE,
    MOST_CHUNKS,
    ChunkedBody,
    Malformed,
    TooManyChunks,
    TooManyTrailers,
)

BODIES = {
    "empty": (b"0\r\n\r\n", 2),
    "one chunk": (b"2\r\n{}\r\n0\r\n\r\n", 2),
    "two chunks": (b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 2),
    "in hexadecimal": (b"1a\r\n" + b"x" * 26 + b"\r\nA\r\n" + b"\n" * 10 + b"\r\n0\r\n\r\n", 2),
    "extensions": (b'1;a="b";c\r\n{\r\n1;\r\n}\r\n00;x\r\n\r\n', 2),
    "trailers": (b"1\r\n{\r\n0\r\nA: b\r\nx-y_z!: \t\x80\xff\r\nc:\r\n\r\n", 25),
    "a chunk that looks like the end": (b"7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n", 2),
    "a size of twelve digits": (b"000000000001\r\n{\r\n0\r\n\r\n", 2),
}


def body(room: int = 1000, fields: int = 10) -> ChunkedBody:
    return ChunkedBody(room, fields)


def feed(chunks: ChunkedBody, sent: bytes, step: int) -> None:
    for at in range(0, len(sent), step):
        assert chunks.end(sent[at : at + step]) is None


@pytest.mark.parametrize("name", BODIES)
def test_the_end(name: str) -> None:
    """In one piece, in two at any place, and byte by byte, with something behind it or not."""
    sent, trailers = BODIES[name]
    for behind in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\r\n"):
        whole = body()
        assert whole.end(sent + behind) == len(sent)
        assert whole.trailers == trailers
    for cut in range(1, len(sent)):
        parts = body()
        assert parts.end(sent[:cut]) is None
        first = parts.trailers
        assert parts.end(sent[cut:]) == len(sent) - cut
        assert first + parts.trailers == trailers
        assert first == max(cut - (len(sent) - trailers), 0)
    bytewise = body()
    ends = [bytewise.end(bytes((byte,))) for byte in sent]
    assert ends == [None] * (len(sent) - 1) + [1]


MALFORMED = [
    b"\r\n", b"x\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1 \r\n", b" 1\r\n", b"1\n", b"1\r\r\n",
    b"1_0\r\n", b"1234567890123\r\n", b";x\r\n", b"1;a\rb\r\n", b"1,2\r\n", "١\r\n".encode(),
]  # fmt: skip
TRAILERS = [
    b"no field\r\n", b": x\r\n", b"a : x\r\n", b" a: x\r\n", b"a: x\n", b"\n", b"a: \0\r\n",
    b"a: x\ry\r\n", b"a: \x7f\r\n", b"\xe4: x\r\n", b"a: b\r\n folded\r\n", b"(: x\r\n",
]  # fmt: skip


@pytest.mark.parametrize(
    "sent", [*MALFORMED, *(b"1\r\n{\r\n0\r\n" + trailer for trailer in TRAILERS)]
)
def test_what_is_no_chunked_body(sent: bytes) -> None:
    """Is refused at the end of the line at the latest, in one piece and byte by byte."""
    with pytest.raises(Malformed):
        body().end(sent)
    with pytest.raises(Malformed):
        feed(body(), sent, 1)


@pytest.mark.parametrize("behind", [b"", b"\r\n"])
def test_how_long_a_line_is(behind: bytes) -> None:
    """256 bytes, with or without an end in sight, however they arrive."""
    assert LONGEST_LINE == 256
    fits = b"1;" + b"x" * (LONGEST_LINE - 4)
    assert body().end(fits + b"\r\n{") is None
    for step in (1, 7, 1000):
        with pytest.raises(Malformed):
            feed(body(), fits + b"x" * 3 + behind, step)


def test_how_many_chunks() -> None:
    """4,096, over all pieces; the last one, which is empty, is none."""
    assert MOST_CHUNKS == 4096
    most = b"1\r\n{\r\n" * MOST_CHUNKS
    assert body().end(most + b"0\r\n\r\n") == len(most) + 5
    chunks = body()
    assert chunks.end(most) is None
    with pytest.raises(TooManyChunks):
        chunks.end(b"1\r\n")


def test_how_many_trailers() -> None:
    """As many as there are fields left, in as many bytes as there is room."""
    assert body(fields=2).end(b"0\r\na:\r\nb:\r\n\r\n") == 13
    with pytest.raises(TooManyTrailers):
        body(fields=2).end(b"0\r\na:\r\nb:\r\nc:\r\n")
    with pytest.raises(TooManyTrailers):
        body(fields=0).end(b"0\r\na:\r\n")
    trailers = b"a: bcd\r\n\r\n"
    assert body(room=len(trailers)).end(b"0\r\n" + trailers) == 3 + len(trailers)
    with pytest.raises(TooManyTrailers):
        body(room=len(trailers) - 1).end(b"0\r\n" + trailers)
    endless = body(room=100)
    assert endless.end(b"0\r\na: " + b"x" * 97) is None
    with pytest.raises(TooManyTrailers):
        endless.end(b"x")


def test_sizes_take_no_room_of_trailers() -> None:
    """What is left for trailers is theirs alone, and the length of a line is of no trailer."""
    assert body(room=2, fields=0).end(b"1;xxxxxxxx\r\n{\r\n0\r\n\r\n") == 20
    long = b"a: " + b"x" * 500 + b"\r\n"
    assert body().end(b"0\r\n" + long + b"\r\n") == 3 + len(long) + 2
