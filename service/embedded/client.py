"""Reaches the embedded server: its URL, whether it answers yet, and waiting until it does."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from redis.backoff import NoBackoff
from redis.client import Redis
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from service.embedded.files import socket_path
from service.errors import StartupError
from service.settings import Secret

POLL = 0.02  # seconds between two looks at a lock or socket of another process, which tells nobody
PATIENCE = 15.0  # seconds for what should take one: a server that appears, an orphan that goes

StopAsked = Callable[[], bool]
"""Whether somebody wants it to stop, asked while something is waited for."""


def server_url(data_dir: Path) -> Secret:
    """Return the URL at which the embedded server of this data directory is reached."""
    return Secret("unix://" + quote(str(socket_path(data_dir))))


def wait_for_server(
    data_dir: Path,
    stop_asked: StopAsked = lambda: False,
    patience: timedelta = timedelta(seconds=PATIENCE),
) -> None:
    """Wait for a server that another process starts on this data directory.

    One that reads its data is waited for as long as it takes.

    Raises:
        StartupError: none appeared within `patience`.
    """
    socket = socket_path(data_dir)
    deadline = time.monotonic() + patience.total_seconds()
    while not stop_asked() and (state := state_of(socket)) != "answers":
        if state == "silent" and time.monotonic() > deadline:
            raise StartupError(
                f"no embedded Valkey runs on {data_dir.resolve()}; start one there with "
                "`python -m service redis`, or leave out --attach"
            )
        time.sleep(POLL)  # a server that starts tells nobody; the deadline above bounds it


def connect(socket: Path) -> Redis:
    """Make a client that asks once, and does not wait for long."""
    return Redis(unix_socket_path=str(socket), socket_timeout=2, retry=Retry(NoBackoff(), 0))


def state_of(socket: Path) -> Literal["answers", "loading", "silent"]:
    """Ask what the server behind the socket is doing."""
    try:
        with connect(socket) as client:
            client.ping()
    except BusyLoadingError:
        return "loading"
    except RedisError:
        return "silent"
    return "answers"
