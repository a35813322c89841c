"""Two acceptors on one socket, as two workers have them."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tools.testbed.waiting import eventually

from service.serving import acceptor
from service.serving.acceptor import Acceptor


class Connection(asyncio.Protocol):
    """Counts itself."""

    def __init__(self, made: list["Connection"]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made.append(self)
        transport.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def connect(address: Any, times: int) -> None:
    for _ in range(times):
        socket.create_connection(address).close()


async def have(made: list[Connection], count: int) -> bool:
    return len(made) >= count


@pytest.mark.parametrize("first", ["loaded", "idle"])
async def test_leaves_a_connection_to_who_has_fewer(listener: socket.socket, first: str) -> None:
    """Whoever is told that it is not its turn lets the other go first, whoever wakes up first."""
    ours: list[Connection] = []
    theirs: list[Connection] = []
    turns = [False]
    address = listener.getsockname()
    sockets = [listener, listener.dup()]
    if first == "idle":
        sockets.reverse()
    loaded = Acceptor(sockets[0], lambda: Connection(ours), lambda _: turns[0])
    idle = Acceptor(sockets[1], lambda: Connection(theirs), lambda _: True)
    for acceptor_ in [loaded, idle] if first == "loaded" else [idle, loaded]:
        acceptor_.start(100)
    for number in range(1, 21):
        connect(address, 1)
        await eventually(lambda number=number: have(theirs, number))
    assert ours == []
    await idle.stop()
    turns[0] = True
    connect(address, 1)
    await eventually(lambda: have(ours, 1))
    await loaded.stop()


async def test_takes_what_nobody_else_takes(listener: socket.socket) -> None:
    """The other may hang: then it waits for a while, not for ever."""
    made: list[Connection] = []
    alone = Acceptor(listener, lambda: Connection(made), lambda _: False)
    alone.start(100)
    connect(listener.getsockname(), 3)
    await eventually(lambda: have(made, 3))
    await alone.stop()


async def test_takes_the_whole_queue_when_it_stops(listener: socket.socket) -> None:
    """Who has connected is served, even if it was somebody else's turn."""
    made: list[Connection] = []
    stopping = Acceptor(listener, lambda: Connection(made), lambda _: False)
    stopping.start(100)
    connect(listener.getsockname(), 20)
    await stopping.stop()
    assert len(made) == 20


class Exhausted(socket.socket):
    """A socket that cannot accept for a while."""

    is_poor = True
    tries = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.tries += 1
        if self.is_poor:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def has_tried(listener: Exhausted, times: int) -> bool:
    return listener.tries >= times


async def test_goes_on_after_it_ran_out_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pause it would try, and log, as fast as it can."""
    monkeypatch.setattr(acceptor, "_PAUSE", 0.05)
    made: list[Connection] = []
    with Exhausted() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        poor = Acceptor(listener, lambda: Connection(made), lambda _: True)
        poor.start(100)
        connect(listener.getsockname(), 1)
        await eventually(lambda: has_tried(listener, 3))
        assert listener.tries < 30
        listener.is_poor = False
        await eventually(lambda: have(made, 1))
        await poor.stop()
