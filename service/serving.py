"""uvicorn on a bound socket: one process, or several under uvicorn's supervisor."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from litestar.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service.app import create_app
from service.errors import ServiceError, StartupError
from service.settings import Settings
from service.web.protocol import Protocol

GRACE = 4  # seconds that open requests get to finish; the whole stop must take less than ten

StopAsked = Callable[[], bool]
Announce = Callable[[], None]


def run(settings: Settings, listener: socket.socket, stop_asked: StopAsked) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code. The socket is closed afterwards.

    Raises:
        StartupError: the app cannot be put together.
    """
    asyncio.run(_rehearse(create_app(settings)))

    def announce() -> None:
        with suppress(OSError):  # nobody reads it
            print(greeting(settings, listener.getsockname()[1]), flush=True)

    if settings.workers == 1:
        server = _Server(configuration(create_app(settings), settings), announce, stop_asked)
        server.run(sockets=[listener])
        return 0
    config = configuration("service.app:from_environment", settings)
    supervisor = _Supervisor(config, listener, announce)
    if stop_asked():  # before the supervisor's signal handlers were there
        return 0
    with TemporaryDirectory(prefix="openshow-metrics-") as metrics:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics  # the workers' shared, and always new
        supervisor.run()
    failed = any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)
    return STARTUP_FAILURE if failed else 0


async def _rehearse(app: ASGIApp) -> None:
    """Start the app and stop it again, before any worker does.

    What cannot start is raised here; from the server it would come as a traceback, once a worker.
    It also makes first keys before several workers look for them.
    """
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Any:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        pass

    scope: Any = {
        "type": "lifespan",
        "asgi": {"version": "3.0", "spec_version": "2.0"},
        "state": {},
    }
    try:
        await app(scope, receive, send)
    except Exception as error:  # whatever it is; only its wrapping is taken off
        cause = error
        while isinstance(cause, ExceptionGroup):  # Litestar starts in a task group
            cause = cause.exceptions[0]
        if isinstance(cause, ServiceError):
            raise StartupError(str(cause)) from error
        raise


def greeting(settings: Settings, port: int) -> str:
    """What a person sees who started the service: where it is, and what to try."""
    host = settings.host
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"""\
OpenShow Auth serves on {url} with its data in {settings.data_dir.resolve()}; Ctrl-C stops it. Try:

  curl {url}/auth/signup -H 'Content-Type: application/json' \\
    -d '{{"email": "ada@example.org", "password": "correct horse battery"}}'

All calls are listed at {url}/schema; the README takes you on from here.
"""


class _Server(uvicorn.Server):
    """A server that says when it listens, and that knows of a signal from before it ran."""

    def __init__(self, config: uvicorn.Config, announce: Announce, stop_asked: StopAsked) -> None:
        super().__init__(config)
        self._announce = announce
        self._stop_asked = stop_asked

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._stop_asked():
            self.should_exit = True
        else:
            self._announce()


class _Supervisor(Multiprocess):
    """A supervisor that says when all its workers listen."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, announce: Announce) -> None:
        super().__init__(config, sockets=[listener])
        self._announce: Announce | None = announce

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if self._announce and all(process.is_ready() for process in self.processes):
            self._announce()
            self._announce = None


def configuration(app: Any, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves `app`: the app itself, or the name of what makes it in a worker."""
    return uvicorn.Config(
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
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        backlog=2048,
        timeout_keep_alive=75,  # longer than a load balancer's 60 s, so that it closes first
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=15,  # a worker that imports on a busy machine is not hung
    )
