"""What the protocol understands of a stream, and what it answers itself; in process."""

import asyncio
import json
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from tools.testbed.waiting import PATIENCE

from service.web.deadlines import Deadlines
from service.web.protocol import STOPPING
from tests.web.in_process import Receive, Send, answer, connected, read, respond

GET = b"GET /a?b=c HTTP/1.1\r\nHost: test\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
CLOSE = b"Connection: close\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
STEPS = pytest.mark.parametrize("step", [0, 1])

_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n(.*?)\r\n\r\n", re.DOTALL)


def answers(received: bytes) -> list[tuple[int, dict[str, str], Any]]:
    """Status, headers and JSON of each answer."""
    found = []
    while received:
        head = _ANSWER.match(received)
        assert head, received
        fields = dict(
            line.decode().lower().split(": ", 1) for line in head[2].split(b"\r\n") if line
        )
        received = received[head.end() :]
        length = int(fields.get("content-length", "0"))
        body, received = received[:length], received[length:]
        found.append((int(head[1]), fields, json.loads(body) if body else None))
    return found


async def ask(sent: bytes, step: int = 0, end: bool = True, **of: Any) -> list[Any]:
    async with connected(**of) as (_, client):
        return answers(await answer(client, sent, step, end))


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop go on until it holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  neither protocol nor transport sets an event
            await asyncio.sleep(0.001)


@STEPS
async def test_a_request(step: int) -> None:
    """Its parts arrive as they were sent, names in lower case, escapes as they are."""
    sent = GET.replace(b"/a", b"/%61") + b"X-Y: Z \xe9\r\nx-y: 2\r\n" + CLOSE + b"\r\n"
    [(status, fields, told)] = await ask(sent, step, end=False)
    assert (status, fields["connection"]) == (200, "close")
    assert told == {
        "method": "GET",
        "path": "/%61",
        "raw_path": "/%61",
        "query": "b=c",
        "version": "1.1",
        "headers": [["host", "test"], ["x-y", "Z \xe9"], ["x-y", "2"], ["connection", "close"]],
        "body": "",
    }


@STEPS
@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://test/x/y?z=1", "/x/y", "z=1"),
        (b"http://test", "/", ""),
        (b"/?", "/", ""),
        (b"/a?b?c", "/a", "b?c"),
        (b"//a/b", "//a/b", ""),
        (b"*", "/", ""),
    ],
)
async def test_targets(step: int, target: bytes, path: str, query: str) -> None:
    """In each form that RFC 9112, section 3.2, has for those who are asked themselves."""
    method = b"OPTIONS " if target == b"*" else b"GET "
    [(status, _, told)] = await ask(method + target + b" HTTP/1.1\r\nHost: test\r\n\r\n", step)
    if target == b"*":
        assert status in (200, 400)
    else:
        assert (status, told["path"], told["raw_path"], told["query"]) == (200, path, path, query)


BODIES = {
    "length": (POST + b"Content-Length: 3\r\n\r\nabc", "abc"),
    "no length": (POST + b"\r\n", ""),
    "length 0": (POST + b"Content-Length: 0\r\n\r\n", ""),
    "chunks": (CHUNKED + b"2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n", "abc"),
    "no chunks": (CHUNKED + b"0\r\n\r\n", ""),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nX-Y: z\r\nHost: other\r\n\r\n", "abc"),
    "upgrade": (
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc", "abc",
    ),
    "upgrade, chunks": (
        CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n", "abc",
    ),
    "upgrade, no body": (GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""),
    "empty lines before": (b"\r\n\n\r\n" + GET + b"\r\n", ""),
    "a body that is a request": (POST + b"Content-Length: %d\r\n\r\n" % len(LAST) + LAST,
                                 LAST.decode()),
    "half of 1.0": (b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
                    "x"),
}  # fmt: skip


@STEPS
@pytest.mark.parametrize("name", BODIES)
async def test_bodies(step: int, name: str) -> None:
    """Where a body ends the next request begins; nothing of it is a header."""
    sent, body = BODIES[name]
    statuses = [200] if name == "half of 1.0" else [200, 200]
    found = await ask(sent + LAST * (len(statuses) - 1), step, end=False)
    assert [status for status, *_ in found] == statuses
    told = found[0][2]
    assert told["body"] == body
    assert "other" not in str(told["headers"])
    assert not {"x-y", "x"} & {field for field, _ in told["headers"]}
    if len(found) == 2:
        assert (found[1][2]["path"], found[1][2]["body"]) == ("/last", "")


REFUSED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GET + b"Host: test\r\n\r\n", 400),
    "no such host": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "two hosts, 1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "version": (b"GET / HTTP/1.2\r\nHost: test\r\n\r\n", 400),
    "fragment": (b"GET /#a HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    "junk": (b"\x16\x03\x01\r\n\r\n", 400),
    "gzip": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "chunks of 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "line feeds": (b"GET / HTTP/1.1\nHost: test\n\n" + b"\r\n\r\n", 400),
    "no size": (CHUNKED + b"x\r\n", 400),
    "a chunk too long": (CHUNKED + b"1\r\nabc\r\n0\r\n\r\n", 400),
    "a trailer that is none": (CHUNKED + b"0\r\nx\r\n\r\n", 400),
    "chunks": (CHUNKED + b"1\r\nx\r\n" * 4097, 413),
    "trailers": (CHUNKED + b"0\r\n" + b"a:\r\n" * 99 + b"\r\n", 431),
    "a long head": (GET + b"X: ".ljust(65_536, b"x"), 431),
    "a long query": (b"GET /?".ljust(65_537, b"x"), 414),
    "a long query, then fields": (
        b"GET /?".ljust(1100, b"x") + b" HTTP/1.1\r\n" + b"a:\r\n" * 17_000, 414,
    ),
    "a long path": (b"GET /".ljust(65_537, b"x"), 431),
    "empty lines": (b"\r\n" * 32_769, 431),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused(name: str) -> None:
    """In the shape of all errors, once; the connection ends, and what is behind is no request."""
    sent, status = REFUSED[name]
    for step in (0, 1) if len(sent) < 1000 else (0, 4000):
        [(found, fields, told)] = await ask(sent + LAST, step)
        assert found == status, told
        assert fields["connection"] == "close"
        assert len(fields["x-request-id"]) == 16
        assert set(told["error"]) == {"code", "message"}


async def test_the_room_of_a_head_is_its_own() -> None:
    """65,536 bytes are a head, for each request of a connection, trailers and empty lines too."""
    head = (GET + b"X: ").ljust(65_532, b"x") + b"\r\n\r\n"
    assert [status for status, *_ in await ask(head * 2 + LAST, end=False)] == [200, 200, 200]
    [(status, *_)] = await ask((GET + b"X: ").ljust(65_533, b"x") + b"\r\n\r\n")
    assert status == 431
    chunked = CHUNKED[:-2] + b"X: "
    for length, statuses in ((65_523, [200, 200]), (65_524, [431])):
        sent = chunked.ljust(length, b"x") + b"\r\n\r\n0\r\na:bcd\r\n\r\n" + LAST
        assert [status for status, *_ in await ask(sent, end=False)] == statuses
    many = CHUNKED[:-2] + b"a:\r\n" * 50 + b"\r\n0\r\n"
    for trailers, statuses in ((48, [200, 200]), (49, [431])):
        sent = many + b"a:\r\n" * trailers + b"\r\n" + LAST
        assert [status for status, *_ in await ask(sent, end=False)] == statuses


@pytest.mark.parametrize("step", [0, 1000, 4000])
@pytest.mark.parametrize(("query", "status"), [(1024, 431), (1025, 414)])
@pytest.mark.parametrize("fields", [b"X: ".ljust(70_000, b"x"), b"a:\r\n" * 2000 + b"\r\n"])
async def test_a_long_query_comes_before_long_fields(
    step: int, query: int, status: int, fields: bytes
) -> None:
    """To the byte, whether the rest is too long or of too many fields, and however it arrives."""
    sent = b"GET /?" + b"q" * query + b" HTTP/1.1\r\n" + fields
    assert [found for found, *_ in await ask(sent, step)] == [status]


@pytest.mark.parametrize(("length", "paused"), [(65_536, False), (65_537, True)])
async def test_a_body_that_the_app_does_not_take(length: int, paused: bool) -> None:
    """Waits at the client's end beyond 64 KiB, until the app takes it."""
    taken = asyncio.Event()

    async def late(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await taken.wait()
        await respond(send, b"%d" % len(await read(receive)))

    loop = asyncio.get_running_loop()
    async with connected(late) as (protocol, client):
        head = POST + CLOSE + b"Content-Length: %d\r\n\r\n" % (length + 1)
        async with asyncio.timeout(10):
            await loop.sock_sendall(client, head + b"x" * length)
            while len(getattr(protocol.cycle, "body", b"")) < length:  # noqa: ASYNC110  the parser sets no event
                await asyncio.sleep(0)
        assert protocol.flow.read_paused is paused
        taken.set()
        [(status, _, told)] = answers(await answer(client, b"x", end=False))
        assert (status, told) == (200, length + 1)


async def test_expectations() -> None:
    """Who waits to be told is told to go on once the body is asked for, and not kept (1.1 only)."""
    head = POST + b"Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n"
    async with connected() as (_, client):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, head)
        async with asyncio.timeout(10):
            assert await loop.sock_recv(client, 1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        [(status, fields, told)] = answers(await answer(client, b"abc" + LAST, end=False))
    assert (status, fields["connection"], told["body"]) == (200, "close", "abc")
    for other in (head.replace(b"100-C", b"C"), head.replace(b"1.1", b"1.0")):
        found = await ask(other + b"abc" + (LAST if b"1.1" in other else b""), end=False)
        assert {status for status, *_ in found} == {200}


@STEPS
async def test_answers_come_in_order(step: int) -> None:
    """One request is begun when the one before it is answered; the last one says that it is."""
    begun: list[str] = []

    async def slow(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await read(receive)
        await asyncio.sleep(0.01)
        assert begun[-1] == scope["path"]
        await respond(send, b'"%s"' % scope["path"].encode())

    paths = [b"/%d" % number for number in range(5)]
    sent = b"".join(GET.replace(b"/a", path) + b"\r\n" for path in paths)
    found = await ask(sent + LAST, step, end=False, app=slow)
    assert [told for *_, told in found] == ["/0", "/1", "/2", "/3", "/4", "/last"]
    assert begun == ["/0", "/1", "/2", "/3", "/4", "/last"]
    assert [fields.get("connection") for _, fields, _ in found] == [None] * 5 + ["close"]


async def test_who_sends_no_more_is_still_answered() -> None:
    """All that came in whole is; then the connection ends. Half a request gets none."""
    found = await ask(GET + b"\r\n" + POST + b"Content-Length: 1\r\n\r\nx")
    assert [status for status, *_ in found] == [200, 200]
    assert await ask(GET + b"\r\n" + GET) == found[:1]
    assert await ask(POST + b"Content-Length: 2\r\n\r\nx") == []
    assert await ask(b"") == []


async def test_an_answer_before_the_body() -> None:
    """It is sent at once; the rest of the body is read as one, and the connection goes on."""

    async def early(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await respond(send, b"1")

    loop = asyncio.get_running_loop()
    for begin, end in ((POST + b"Content-Length: 9\r\n\r\nx", b"x" * 8), (CHUNKED, b"0\r\n\r\n")):
        async with connected(early) as (_, client):
            await loop.sock_sendall(client, begin)
            async with asyncio.timeout(10):
                assert b"200" in await loop.sock_recv(client, 1000)
            found = answers(await answer(client, end + LAST, end=False))
        assert [status for status, *_ in found] == [200]


async def test_an_early_answer_that_closes() -> None:
    """The client may send on: what comes is thrown away, so that it reads the answer."""

    async def early(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await respond(send, b"1")

    loop = asyncio.get_running_loop()
    async with connected(early) as (protocol, client):
        await loop.sock_sendall(client, POST + CLOSE + b"Content-Length: 900000\r\n\r\n")
        async with asyncio.timeout(10):
            assert b"200" in await loop.sock_recv(client, 1000)
            await loop.sock_sendall(client, b"x" * 500_000)
        assert not protocol.transport.is_closing()
        protocol.pass_time(1, Deadlines(linger=3))
        assert not protocol.transport.is_closing()
        protocol.pass_time(3, Deadlines(linger=3))
        assert protocol.transport.is_closing()


async def test_a_stopping_process_says_so() -> None:
    """Each answer is then the last of its connection."""
    found = await ask(GET + b"\r\n" + LAST, end=False, state={STOPPING: True})
    assert [(status, fields["connection"]) for status, fields, _ in found] == [(200, "close")]
    async with connected() as (protocol, client):
        protocol.leave_after_answer()  # nothing is under way
        await asyncio.get_running_loop().sock_sendall(client, GET + b"\r\n")
        async with asyncio.timeout(10):
            assert b"connection" not in await asyncio.get_running_loop().sock_recv(client, 4000)


DEADLINES = Deadlines(first_byte=2, head=4, body=6, answer=8, idle=10, linger=12)
WAITS = {
    "first byte": (b"", 2, 408),
    "empty lines": (b"\r\n", 2, 408),
    "a head": (GET, 4, 408),
    "a body": (POST + b"Content-Length: 9\r\n\r\nx", 6, 408),
    "chunks": (CHUNKED + b"1\r\nx", 6, 408),
    "trailers": (CHUNKED + b"0\r\na", 6, 408),
    "idle": (GET + b"\r\n", 10, 0),
}


@pytest.mark.parametrize("name", WAITS)
async def test_deadlines(name: str) -> None:
    """Each has its own, to the moment; and what comes in between begins that of a body anew."""
    sent, deadline, status = WAITS[name]
    loop = asyncio.get_running_loop()
    async with connected() as (protocol, client):
        if sent:
            await loop.sock_sendall(client, sent)
        async with asyncio.timeout(10):
            if name == "idle":
                assert b"200" in await loop.sock_recv(client, 4000)
            for _ in range(5):
                await asyncio.sleep(0.001)
        protocol.pass_time(0, DEADLINES)
        protocol.pass_time(deadline - 0.5, DEADLINES)
        assert not protocol._refused
        assert not protocol.transport.is_closing()
        if name in ("a body", "chunks", "trailers"):
            await loop.sock_sendall(client, b"\r" if name == "chunks" else b"x")
            for _ in range(5):
                await asyncio.sleep(0.001)
            protocol.pass_time(deadline - 0.5, DEADLINES)
            assert not protocol._refused
        protocol.pass_time(0.5, DEADLINES)
        if status:
            assert protocol._refused
            client.shutdown(socket.SHUT_WR)
            received = b""
            async with asyncio.timeout(10):
                while more := await loop.sock_recv(client, 4000):
                    received += more
            [(found, *_)] = answers(received)
            assert found == status
        else:
            assert protocol.transport.is_closing()


@pytest.mark.parametrize("name", ["a body", "chunks", "trailers"])
async def test_a_body_that_drips_in_has_a_whole_time(name: str) -> None:
    """A byte now and then keeps it within the time without progress, and still it ends: 408."""
    begin, drop = {
        "a body": (POST + b"Content-Length: 1000\r\n\r\n", b"x"),
        "chunks": (CHUNKED, b"1\r\nx\r\n"),
        "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n"),
    }[name]
    deadlines = Deadlines(body=6, whole_body=20)
    loop = asyncio.get_running_loop()
    async with connected() as (protocol, client):
        await loop.sock_sendall(client, GET + b"\r\n" + begin)
        for passed in (0, 5, 5, 5, 4):  # a second less than the whole
            protocol._quiet = 1.0
            await loop.sock_sendall(client, drop)
            await until(lambda: protocol._in_body and not protocol._quiet)
            protocol.pass_time(passed, deadlines)
            assert not protocol._refused
        await loop.sock_sendall(client, drop)
        await until(lambda: not protocol._quiet)
        protocol.pass_time(1, deadlines)
        assert protocol._refused
        assert [status for status, *_ in answers(await answer(client, b""))] == [200, 408]


async def test_each_body_has_its_whole_time() -> None:
    """What one of before took, or the app with it, is not the next one's."""
    deadlines = Deadlines(body=6, whole_body=8)
    loop = asyncio.get_running_loop()
    async with connected() as (protocol, client):
        for _ in range(5):
            await loop.sock_sendall(client, POST + b"Content-Length: 2\r\n\r\nx")
            await until(lambda: protocol._in_body)
            protocol.pass_time(5, deadlines)
            await loop.sock_sendall(client, b"x")
            async with asyncio.timeout(10):
                assert b"200" in await loop.sock_recv(client, 4000)
        await loop.sock_sendall(client, POST + b"Content-Length: 2\r\n\r\nx")
        await until(lambda: protocol._in_body)
        protocol.flow.hold()  # as while the app has not taken what came
        protocol.pass_time(20, deadlines)
        protocol.flow.release()
        assert not protocol._refused


async def test_an_answer_that_is_sipped_has_a_whole_time() -> None:
    """A byte that is taken now and then does not keep the rest for ever; each has its own time."""
    deadlines = Deadlines(answer=6, whole_answer=20)

    async def large(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await respond(send, b"1" * 5_000_000)

    loop = asyncio.get_running_loop()
    async with connected(large) as (protocol, client):
        left = protocol.transport.get_write_buffer_size
        for request in (b"first", b"second"):
            await loop.sock_sendall(client, GET.replace(b"/a", b"/" + request) + b"\r\n")
            await until(lambda: left() > 0)
            protocol.pass_time(0, deadlines)
            for passed in (5, 5, 5, 4):
                before = left()
                while left() == before:
                    await loop.sock_recv(client, 100_000)
                    await asyncio.sleep(0)
                protocol.pass_time(passed, deadlines)
                assert not protocol.transport.is_closing()
            if request == b"first":
                async with asyncio.timeout(10):
                    while left():
                        await loop.sock_recv(client, 100_000)
        protocol.pass_time(1, deadlines)
        assert protocol.transport.is_closing()


async def test_who_went_is_known_to_the_app() -> None:
    """It is told that the rest of the body will not come."""
    told = asyncio.get_running_loop().create_future()

    async def waiting(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        told.set_result(await read(receive))

    async with connected(waiting) as (_, client):
        await asyncio.get_running_loop().sock_sendall(client, POST + b"Content-Length: 9\r\n\r\nab")
        for _ in range(5):
            await asyncio.sleep(0.001)
        client.close()
        async with asyncio.timeout(10):
            assert await told == b"abgone"


async def test_a_slow_reader_gets_all() -> None:
    """What was held back while it had not read goes on once it has."""

    async def large(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await respond(send, b"1" * 500_000)

    async with connected(large) as (_, client):
        received = await answer(client, (GET + b"\r\n") * 5 + LAST, end=False)
    assert received.count(b"HTTP/1.1 200 OK") == 6
    assert len(received) > 3_000_000


async def test_an_unread_answer_stops_the_reading() -> None:
    """While a client takes no answers, no more of its requests are begun or read."""
    begun = 0

    async def large(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        await respond(send, b"1" * 500_000)

    loop = asyncio.get_running_loop()
    async with connected(large) as (protocol, client):
        await loop.sock_sendall(client, (GET + b"\r\n") * 100)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert 1 <= begun <= 3
        assert protocol.flow.read_paused
        protocol.pass_time(0, DEADLINES)
        protocol.pass_time(7, DEADLINES)
        assert not protocol.transport.is_closing()
        protocol.pass_time(2, DEADLINES)
        assert protocol.transport.is_closing()
