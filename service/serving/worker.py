"""A worker process: a server that tells its parent that it does not hang, and ends with it."""

import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from service import streams
from service.serving.loads import Loads, loads_in
from service.serving.prctl import SET_NAME, prctl
from service.serving.server import LONGEST_STOP, Server, configuration
from service.serving.signals import HELD, STOPS, be_a_worker
from service.serving.template import read_message
from service.settings import Settings

NAME = b"openshow-worker"
"""What a worker is called by `ps -o comm` and `top`. Linux takes 15 characters."""


def work(channel: socket.socket, memory: int, listeners: Sequence[socket.socket]) -> None:
    """Be a worker: serve until a signal comes or the parent is gone."""
    prctl(SET_NAME, NAME)
    begun = read_message(channel)
    if begun is None:  # the parent is gone already
        return
    os.environ.clear()
    os.environ.update(begun["environment"])
    streams.write_without_blocking()
    settings = Settings.from_environment(os.environ)
    server = _WorkerServer(settings, channel, loads_in(memory), begun["number"])
    be_a_worker()
    for number in STOPS:  # early ones, and those that uvicorn repeats when it has ended
        signal.signal(number, lambda *_: server.stop_soon())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    threading.Thread(target=_end_with_parent, args=(channel, server), daemon=True).start()
    server.run(sockets=[*listeners])


def _end_with_parent(channel: socket.socket, server: Server) -> None:
    with suppress(OSError):
        channel.recv(1)  # never sent
    server.stop_soon()
    time.sleep(LONGEST_STOP)
    streams.flush()
    os._exit(1)  # it hangs, and there is nobody else to end it


class _WorkerServer(Server):
    """A server that tells the parent, by a beat from its event loop, that it does not hang."""

    def __init__(
        self, settings: Settings, channel: socket.socket, loads: Loads, number: int
    ) -> None:
        config = configuration("service.app:from_environment", settings)
        super().__init__(config, settings, announce=self._beat)
        self._channel = channel
        self._loads = loads
        self._number = number

    async def on_tick(self, counter: int) -> bool:
        self._tell_load()
        if counter % 5 == 0:
            self._beat()
        return await super().on_tick(counter)

    def is_its_turn(self, under_way: int) -> bool:
        return bool(self._tell_load(under_way) <= min(self._loads))

    def _tell_load(self, under_way: int = 0) -> int:
        self._loads[self._number] = len(self.server_state.connections) + under_way
        return self._loads[self._number]

    def _beat(self) -> None:
        # A parent that is stopped does not read, and one that is gone cannot.
        with suppress(OSError):
            self._channel.send(b".", socket.MSG_DONTWAIT)
