"""Serves from start to end: in this process, or in several that it starts."""

import ipaddress
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from tempfile import TemporaryDirectory
from typing import Any

from litestar.types import ASGIApp

from service.app import create_app
from service.errors import ServiceError, StartupError
from service.keyring.pin import SHARED as PIN_REFUSED
from service.serving.imports import keep_imports
from service.serving.listeners import address_of
from service.serving.memory import settle
from service.serving.server import Server, StopAsked, configuration, names_in
from service.serving.stoppable import run_unless_stopped
from service.serving.template import Template
from service.serving.workers import Supervisor
from service.settings import Settings


def run(
    settings: Settings,
    given: Settings,
    listeners: Sequence[socket.socket],
    stop_asked: StopAsked,
) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code. The sockets are closed afterwards.

    They are the public one and those of operators, in the order of `names_in`.

    `given` are the settings as they were before the embedded stores were put in their place.

    Raises:
        StartupError: the app cannot be put together.
        StartStopped: a signal came before it was.
    """
    keep_imports()
    with ExitStack() as cleanup:
        if settings.workers > 1:  # before keys are made for a service that cannot start
            metrics = cleanup.enter_context(_shared_directory())
            template = cleanup.enter_context(closing(Template(metrics)))
        app = create_app(settings)
        run_unless_stopped(_rehearse(app), stop_asked, "its stores or its key service")
        if stop_asked():
            return 0

        names = names_in(settings)

        def announce() -> None:
            with suppress(OSError):  # nobody reads it
                address, port = listeners[0].getsockname()[:2]
                places = dict(zip(names, map(address_of, listeners), strict=True))
                print(
                    greeting(
                        given, port, address, places.get("operations", ""), places.get("admin", "")
                    ),
                    flush=True,
                )

        if settings.workers == 1:
            config = configuration(app, settings)
            server = Server(config, settings, announce, stop_asked)
            server.run(sockets=[*listeners])
            return 0
        settle()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
        os.environ[PIN_REFUSED] = os.path.join(metrics, "pin-refused")  # one try for all of them
        return Supervisor(settings, template, listeners, announce, stop_asked).run()


def _shared_directory() -> "TemporaryDirectory[str]":
    """Make the directory where workers keep what `/metrics` adds up: always a new one.

    Raises:
        StartupError: there is no directory for temporary files.
    """
    try:
        return TemporaryDirectory(prefix="openshow-metrics-")
    except OSError as error:
        raise StartupError(
            f"SERVICE_WORKERS above 1 needs a directory for temporary files ({error.strerror}); "
            "set TMPDIR to one that can be written"
        ) from None


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


def greeting(
    given: Settings, port: int, address: str = "", operations: str = "", admin: str = ""
) -> str:
    """Tell the person who has started the service where it is, and what to try.

    `address` is the one that is listened on, where the host of the settings is a name for it;
    `operations` is where metrics are, if they are elsewhere; `admin` is where operators' HTTP is.
    """
    host = given.host
    with suppress(ValueError):
        listened = ipaddress.ip_address(address or host)
        if listened.is_unspecified:
            host = "127.0.0.1" if listened.version == 4 else "::1"
    host = host.replace("%", "%25")  # before the zone of a link-local address (RFC 6874)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    data = f" with its {kept} in {given.data_dir.resolve()}" if (kept := _kept(given)) else ""
    described = f"All calls are listed at {url}/schema"
    if operations:
        schema = f"{operations}/schema" if operations.startswith("http") else "/schema"
        described = f"Metrics, readiness and all calls ({schema}) are at {operations}"
    if admin:
        described += f". Operators' HTTP is at {admin}"
    return f"""\
OpenShow Auth serves on {url}{data}; Ctrl-C stops it. Try:

  curl {url}/auth/signup -H 'Content-Type: application/json' \\
    -d '{{"email": "ada@example.org", "password": "correct horse battery"}}'

{described}; the README takes you on from here.
"""


def _kept(given: Settings) -> str:
    """Say in words what lies in the data directory; nothing where it is not used."""
    sessions, accounts = not given.redis_url, not given.database_url
    keys = given.kms == "local" and given.kms_local_key_file is None
    if sessions and accounts and keys:
        return "data"
    parts = (("sessions", sessions), ("accounts", accounts), ("key file", keys))
    return " and ".join(name for name, is_there in parts if is_there)
