"""Health checks of the embedded server from outside, the last line of its log, and its end."""

import errno
import logging
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

HANG_PATIENCE = 15.0
"""Seconds without any answer after which a server hangs and is replaced. One that loads, rewrites
its file or runs a script answers meanwhile, and one that waits for its disk is left alone."""

END_PATIENCE = 5.0
"""Seconds to shut down in, before it is killed."""

_LOOK_EVERY = 1.0  # seconds between two questions whether it lives
_REPLY = 2.0  # seconds
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
_MOST_SAID = 64 * 1024  # bytes of the log that are looked at
_LOG_PREFIX = re.compile(r"^\d+:\S+ \d+ \w+ \d+ [\d:.]+ \S ")


def answers(path: Path) -> bool | None:
    """Tell whether the server behind this socket says anything, be it that it loads or is busy.

    `None`: this process has no descriptor or memory left to ask with, or the directory is away with
    the socket in it, which does not disturb whoever is connected: nothing is known.
    """
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_REPLY)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return bool(client.recv(1))
    except FileNotFoundError:
        return False if path.parent.is_dir() else None
    except OSError as error:
        return None if error.errno in _OURS else False


def watch_for_hangs(
    path: Path,
    current: Callable[[], "subprocess.Popen[bytes] | None"],
    stopping: threading.Event,
) -> None:
    """End a server that hangs, again and again until `stopping`.

    `current` returns the one that now runs, if one does; whoever waits for it starts another.
    """
    felt, answered, silences = None, time.monotonic(), 0
    while not stopping.wait(_LOOK_EVERY):
        process = current()
        if process is None or process.returncode is not None:
            continue
        alive = answers(path)
        if process is not felt or alive is not False:
            felt, answered, silences = process, time.monotonic(), 0
            continue
        silences += 1
        silent_for = time.monotonic() - answered
        # Several, since this process may have slept meanwhile, together with the server.
        if silences >= 3 and silent_for > HANG_PATIENCE and not waits_for_disk(process.pid):
            logger.error("embedded Valkey has hung for %.0f s; replacing it", silent_for)
            end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Shut a server down in good order, or kill it when that takes too long."""
    process.terminate()
    try:
        process.wait(END_PATIENCE)
    except subprocess.TimeoutExpired:
        logger.warning("the embedded Valkey does not end by itself; killing it")
        process.kill()
        process.wait()


def waits_for_disk(pid: int) -> bool:
    """Tell whether the kernel holds the process up in a read or write. False where unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["D"]


def last_log_line(log: Path, since: int) -> str:
    """Return the last line of the log behind its first `since` bytes, without time and pid."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(min(since, size), size - _MOST_SAID))
            lines = file.read(_MOST_SAID).decode("utf-8", "replace").split("\n")
    except OSError as error:
        return f"its log cannot be read ({error.strerror})"
    said = [line for line in lines if line.strip()]
    return _LOG_PREFIX.sub("", said[-1]).strip() if said else "it said nothing"
