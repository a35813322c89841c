"""The sockets that the service listens on, bound before anything is started for them."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from service.errors import StartupError
from service.settings import Settings
from service.settings.binds import Bind

RESERVE = 64
"""File descriptors that a process needs, at least, for Redis, the user store and files."""

_PUBLIC, _OPERATIONS, _ADMIN = "SERVICE_PORT", "SERVICE_OPERATIONS_BIND", "SERVICE_ADMIN_BIND"


def bind(host: str, port: int, settings: str = "SERVICE_HOST or SERVICE_PORT") -> socket.socket:
    """Bind a socket to the address without listening: nobody connects before all is ready.

    Raises:
        StartupError: that cannot be; names the `settings`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:  # the latter: it can be no host name
        reason = error.strerror if isinstance(error, OSError) else "no host can have this name"
        raise StartupError(
            f"cannot serve on {host} port {port}: {reason}; set {settings} to another"
        ) from None
    return listener


@contextmanager
def bound_to(place: Bind, setting: str) -> Iterator[socket.socket]:
    """Bind a socket to an address, or to a file that only our user may use, as long as it lasts.

    Raises:
        StartupError: that cannot be; names the `setting`.
    """
    if not place.path:
        with bind(place.host, place.port, setting) as listener:
            yield listener
        return
    path = Path(place.path)
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.umask(0o177)
        try:
            _remove_left_over(path)
            listener.bind(place.path)
        except OSError as error:
            raise StartupError(
                f"cannot serve on {place}: {error.strerror}; set {setting} to another"
            ) from None
        finally:
            os.umask(before)
        try:
            yield listener
        finally:
            with suppress(OSError):
                path.unlink()


@contextmanager
def bound(settings: Settings) -> Iterator[list[socket.socket]]:
    """Bind all the sockets that the settings ask for: the public one, then those of operators.

    Raises:
        StartupError: that cannot be; names the setting. Or so few files may be open that nobody
            could connect.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files <= RESERVE:  # RLIM_INFINITY is negative
        raise StartupError(
            f"only {files} files may be open here, of which the service needs {RESERVE} itself, and"
            " one for each connection: raise the limit (ulimit -n, LimitNOFILE=)"
        )
    admin = settings.admin_bind
    if admin and settings.operations_bind and _is_same(admin, settings.operations_bind):
        raise StartupError(f"{_ADMIN} is {_OPERATIONS}; set one of them to another")
    with ExitStack() as stack:
        listeners = {_PUBLIC: stack.enter_context(bind(settings.host, settings.port))}
        for place, setting in ((settings.operations_bind, _OPERATIONS), (admin, _ADMIN)):
            if place is None:
                continue
            listener = stack.enter_context(bound_to(place, setting))
            for name, one in listeners.items():
                refuse_same(one, listener, setting, name)
            listeners[setting] = listener
        yield [*listeners.values()]


def _is_same(one: Bind, other: Bind) -> bool:
    """Tell whether the second of them would be bound in place of the first, or cannot be.

    A file has several spellings, and one on which nobody listens yet looks left over.
    """
    if one.path and other.path:
        return os.path.realpath(one.path) == os.path.realpath(other.path)
    return one == other and one.port != 0


def refuse_same(
    one: socket.socket, other: socket.socket, setting: str, setting_of_one: str
) -> None:
    """Refuse two sockets for one port: the system lets both be bound, and one of them listen.

    Raises:
        StartupError: names the `setting` of the `other` one, and that of the first.
    """
    names = one.getsockname(), other.getsockname()
    if any(isinstance(name, str) for name in names):
        return
    (host, port, *_), (other_host, other_port, *_) = names
    if port == other_port and (host == other_host or {host, other_host} & {"0.0.0.0", "::"}):  # noqa: S104  compared, not bound
        raise StartupError(f"{setting} is the port of {setting_of_one}; set one of them to another")


def _remove_left_over(path: Path) -> None:
    """Remove the file of a socket on which nobody listens any more, as after SIGKILL."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def address_of(listener: socket.socket) -> str:
    """Spell where a socket listens: a URL, or `unix:` and a path."""
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
