"""Ports for servers that tests and tools start: nobody else who asks here gets the same one."""

import fcntl
import os
import random
import socket
import tempfile

_FIRST, _LAST = 20_000, 32_000  # below those that the system gives to clients: nobody gets one
# while its server is down, either

_given: set[int] = set()
_file = -1


def free_port() -> int:
    """Choose a port of loopback that nobody listens on, held for as long as this process lives.

    Between being chosen and being used it is nobody's as far as the system knows; so each port has
    a byte of a file, which whoever chose it keeps locked.
    """
    while True:
        port = random.randrange(_FIRST, _LAST)
        if port not in _given and _hold(port) and _is_free(port):
            _given.add(port)
            return port


def _hold(port: int) -> bool:
    global _file
    if _file < 0:
        name = f"openshow-ports-{os.getuid()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        # Never closed: whoever closes one descriptor of a file loses all locks on it.
        _file = os.open(os.path.join(tempfile.gettempdir(), name), flags, 0o600)
    try:
        fcntl.lockf(_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
