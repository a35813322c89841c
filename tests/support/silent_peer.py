"""Servers that fail: one that takes connections and never answers, and a port without any."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_peer() -> Iterator[str]:
    """The `http://` address of a server that reads and says nothing, while the block runs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def dead_address() -> str:
    """The `http://` address of a port where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
