"""A real PgBouncer before a real PostgreSQL, where one is installed."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tools.testbed.postgresql import PostgresServer
from tools.testbed.waiting import wait_until


def find_pgbouncer() -> str:
    """The program. Where there is none, the test is skipped; with `CI=true` it fails."""
    found = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail("PgBouncer is missing: install pgbouncer")
    pytest.skip("PgBouncer is missing: install pgbouncer, or run scripts/test as root")


@contextmanager
def pgbouncer(postgres: PostgresServer, mode: str) -> Iterator[str]:
    """The directory of its socket: a host that leads to all databases, in this `pool_mode`."""
    program = find_pgbouncer()
    directory = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    (directory / "users").write_text('"tests" ""\n')
    (directory / "ini").write_text(
        f"""[databases]
* = host={postgres.directory}
[pgbouncer]
unix_socket_dir = {directory}
listen_addr =
auth_type = trust
auth_file = {directory}/users
pool_mode = {mode}
default_pool_size = 20
max_client_conn = 200
logfile = {directory}/log
"""
    )
    user: dict[str, object] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        somebody = pwd.getpwuid(postgres.directory.stat().st_uid)
        user = {"user": somebody.pw_uid, "group": somebody.pw_gid, "extra_groups": []}
        for path in (directory, *directory.iterdir()):
            os.chown(path, somebody.pw_uid, somebody.pw_gid)
    process = subprocess.Popen(
        [program, "-q", str(directory / "ini")],
        stderr=subprocess.DEVNULL,
        **user,  # type: ignore[call-overload]  # one of its many
    )
    try:
        wait_until(lambda: _answers(directory, process))
        yield str(directory)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)
        shutil.rmtree(directory)


def _answers(directory: Path, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, (directory / "log").read_text()
    with socket.socket(socket.AF_UNIX) as peer:
        return peer.connect_ex(str(directory / ".s.PGSQL.6432")) == 0
