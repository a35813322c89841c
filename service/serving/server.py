"""uvicorn's server, configured, and with an end at which no request is lost."""

import asyncio
import functools
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn.server
from uvicorn.config import Config

from service.serving.acceptor import Acceptor
from service.serving.connections import Connections
from service.serving.memory import settle
from service.settings import Settings
from service.web.deadlines import DEADLINES
from service.web.listeners import LISTENER, Listener, names_of
from service.web.protocol import STOPPING, Protocol

GRACE = 4  # seconds that open requests get to finish; the whole stop must take less than ten
LINGER = 0.5  # seconds in which what a client has sent already may still arrive

LONGEST_STOP = LINGER + GRACE + 2  # seconds, without the delay

StopAsked = Callable[[], bool]
Announce = Callable[[], None]


class Server(uvicorn.server.Server):
    """A server that says when it listens, and that ends in steps, none of which loses a request.

    SIGTERM: for `drain_delay` it serves on, says that it is not ready, and asks clients with each
    answer to connect elsewhere. Then, and at SIGINT at once, it takes in who has connected already,
    listens no more, and lets those who have something to say speak (`LINGER`). Then it closes what
    is idle, and what is being answered gets `GRACE` to finish.
    """

    deadlines = DEADLINES

    def __init__(
        self,
        config: Config,
        settings: Settings,
        announce: Announce,
        stop_asked: StopAsked = lambda: False,
    ) -> None:
        """Configure the server, for the sockets that `settings` ask for.

        `stop_asked` tells of a signal that came before the server had its handlers in place.
        """
        super().__init__(config)
        self._delay = settings.drain_delay.total_seconds()
        self._announce = announce
        self._stop_asked = stop_asked
        self._names = names_in(settings)
        self._acceptors: list[Acceptor] = []
        self._connections: Connections | None = None
        self._states: list[dict[str, Any]] = []

    def stop_soon(self) -> None:
        """End without the delay."""
        self._delay = 0
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGINT and self._delay:  # somebody waits at a terminal
            self.stop_soon()
        else:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        settle()
        connections = Connections(self.server_state.connections, self.deadlines)
        self._connections = connections
        listening = sockets or []
        state = self.lifespan.state
        self._states = [  # each request says by which it came
            state if name is None else state | {LISTENER: name} for name in self._names
        ]
        self._acceptors = [
            Acceptor(
                listener,
                functools.partial(self._protocol, state),
                self.is_its_turn,
                connections.make_room,
            )
            for listener, state in zip(listening, self._states, strict=bool(listening))
        ]
        for acceptor in self._acceptors:
            acceptor.start(self.config.backlog)
        if self._stop_asked():
            self.should_exit = True
        else:
            self._announce()

    def is_its_turn(self, under_way: int) -> bool:
        """Tell whether this is the process that should take the next connection."""
        return True

    async def main_loop(self) -> None:
        await super().main_loop()
        self._ask_clients_to_leave()
        began, counter = time.monotonic(), 0
        while time.monotonic() - began < self._delay:
            counter += 1
            await asyncio.sleep(0.1)
            await self.on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ask_clients_to_leave()
        for acceptor in self._acceptors:
            await acceptor.stop()
        for _ in range(25):
            if self.server_state.connections:
                await asyncio.sleep(LINGER / 25)
        await super().shutdown([])
        if self.force_exit:  # by another SIGINT: open requests are cut off, and no more than they
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()
        if self._connections is not None:
            self._connections.stop()

    def _ask_clients_to_leave(self) -> None:
        for state in self._states:
            state[STOPPING] = True
        for connection in self.server_state.connections:
            if isinstance(connection, Protocol):
                connection.leave_after_answer()

    def _protocol(self, state: dict[str, Any]) -> asyncio.Protocol:
        return Protocol(config=self.config, server_state=self.server_state, app_state=state)


def names_in(settings: Settings) -> list[Listener | None]:
    """Name the sockets that these settings ask for."""
    return names_of(
        operations=settings.operations_bind is not None, admin=settings.admin_bind is not None
    )


def configuration(app: Any, settings: Settings) -> Config:
    """Configure uvicorn for `app`: the app itself, or the name of what makes it in a worker."""
    return Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,  # the app says where logs go,
        access_log=False,  # and writes one line a request itself
        server_header=False,
        proxy_headers=False,  # see `service.web.addresses`
        backlog=2048,
        timeout_graceful_shutdown=GRACE,
    )
