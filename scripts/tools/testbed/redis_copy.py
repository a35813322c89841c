"""Copies of what a Redis server has on its disk, and putting it back to one, or to nothing."""

import shutil
from pathlib import Path
from typing import Any

from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import wait_until

_LOG = "appendonlydir"
_BASE = "appendonly.aof.1.base.rdb"


class RedisCopy:
    """A copy of the data of one server, by which others of the same data are put back too."""

    def __init__(self, directory: Path) -> None:
        """`directory` is to hold it; it need not exist."""
        self._directory = directory

    def take(self, server: RedisServer, *, as_dump: bool) -> None:
        """Copy what it has at some moment of the call, while it runs: its append-only file as it
        lies there, or a dump that it is asked for."""
        shutil.rmtree(self._directory, ignore_errors=True)
        if not as_dump:
            shutil.copytree(server.directory / _LOG, self._directory)
            return
        with server.client() as client:
            client.bgsave()
            wait_until(lambda: not _saves(client))
            assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
        self._directory.mkdir(parents=True)
        # With `appendonly yes` a server loads no dump.rdb: it must be the base of the file.
        shutil.copy(server.directory / "dump.rdb", self._directory / _BASE)
        (self._directory / "appendonly.aof.manifest").write_text(f"file {_BASE} seq 1 type b\n")

    def put_back(self, server: RedisServer) -> None:
        """Have this on its disk, when it starts again. It must not run."""
        empty(server)
        shutil.copytree(self._directory, server.directory / _LOG)


def empty(server: RedisServer) -> None:
    """Have nothing on its disk, when it starts again. It must not run."""
    shutil.rmtree(server.directory / _LOG, ignore_errors=True)
    (server.directory / "dump.rdb").unlink(missing_ok=True)


def _saves(client: Any) -> bool:
    return bool(client.info("persistence")["rdb_bgsave_in_progress"])
