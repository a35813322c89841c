"""Serving from start to end: in this process, or in several that it starts."""

import asyncio
import ipaddress
import os
import socket
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

from litestar.types import ASGIApp

from service.app import create_app
from service.errors import ServiceError, StartupError
from service.serving.server import Server, StopAsked, configuration
from service.serving.workers import Supervisor
from service.settings import Settings


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
        config = configuration(create_app(settings), settings)
        Server(config, settings.drain_delay, announce, stop_asked).run(sockets=[listener])
        return 0
    with TemporaryDirectory(prefix="openshow-metrics-") as metrics:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics  # the workers' shared, and always new
        return Supervisor(settings, listener, announce, stop_asked).run()


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
    data = f" with its data in {settings.data_dir.resolve()}" if settings.keeps_files else ""
    return f"""\
OpenShow Auth serves on {url}{data}; Ctrl-C stops it. Try:

  curl {url}/auth/signup -H 'Content-Type: application/json' \\
    -d '{{"email": "ada@example.org", "password": "correct horse battery"}}'

All calls are listed at {url}/schema; the README takes you on from here.
"""
