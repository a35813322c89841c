"""Accepts connections from a listening socket."""

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 1.0  # seconds without accepting, when there is nothing left to do it with
_BUFFERS = {  # bytes, of which the kernel makes twice as many
    socket.SO_RCVBUF: 65_536,  # what a client sends ahead waits at its end of the line
    socket.SO_SNDBUF: 131_072,  # an answer that nobody reads does not grow with the line's speed
}
_TURN = 0.002  # seconds that another worker gets to accept first,
_TURNS = 25  # so many times: it may be busy, or hang

log = structlog.get_logger()


class Acceptor:
    """Takes connections from a listening socket, one at each turn of the event loop.

    uvloop's own server takes all that wait: of two workers on one socket, the first that wakes up
    would get most of what a load balancer opens at once and keeps, and so most of the work.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        is_its_turn: Callable[[int], bool],
        make_room: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Prepare to accept; `protocol` makes a protocol for each connection.

        `is_its_turn`, asked with how many are being accepted, tells whether this worker should take
        the next, or another on the socket. `make_room` is called before each, and with True when
        there was no file descriptor left for one.
        """
        self._make_room = make_room
        self._listener = listener
        self._protocol = protocol
        self._is_its_turn = is_its_turn
        self._passed = 0
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[object]] = set()

    def start(self, backlog: int) -> None:
        """Listen from now on."""
        self._listener.setblocking(False)
        for option, size in _BUFFERS.items():  # each connection inherits them
            self._listener.setsockopt(socket.SOL_SOCKET, option, size)
        self._listener.listen(backlog)
        self._loop.add_reader(self._listener, self._take_turn)

    async def stop(self) -> None:
        """Accept all who wait in the queue, who would be cut off otherwise, and listen no more."""
        self._loop.remove_reader(self._listener)
        while self._accept():
            pass
        self._listener.close()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _take_turn(self) -> None:
        if self._passed == _TURNS or self._is_its_turn(len(self._under_way)):
            self._passed = 0
            self._accept()
        else:
            self._passed += 1
            self._rest(_TURN)

    def _accept(self) -> bool:
        """Accept one connection. Return whether there was one, or may be another."""
        self._make_room(False)
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:  # another worker has
            return False
        except OSError as error:
            if error.errno not in _EXHAUSTED:  # it is gone again
                return True
            log.error("no connection can be taken", cause=error.strerror, pause=_PAUSE)
            self._make_room(True)
            self._rest(_PAUSE)
            return False
        task = self._loop.create_task(self._connect(connection))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return True

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it is gone again
            connection.close()

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._take_turn)
