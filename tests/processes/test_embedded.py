import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from service.errors import StartupError
from service.keyspace.embedded import EmbeddedServer, server_url, wait_for_server
from tests.processes.program import REPOSITORY, is_alive, server_pid, wait_until

Make = Callable[..., EmbeddedServer]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "var"


def connect(data_dir: Path) -> Redis:
    return Redis.from_url(server_url(data_dir).reveal(), decode_responses=True)


def answers(data_dir: Path) -> bool:
    try:
        with connect(data_dir) as client:
            return client.ping()
    except RedisError:
        return False


def test_keeps_its_data_over_a_restart(embedded: Make, data_dir: Path) -> None:
    """What was written before a stop is there after the next start, and the process is gone."""
    server = embedded()
    server.start()
    with connect(data_dir) as client:
        client.set("key", "value")
    pid = server.pid
    server.stop()
    assert not is_alive(pid)

    embedded().start()
    with connect(data_dir) as client:
        assert client.get("key") == "value"


def test_is_durable_and_private(embedded: Make, data_dir: Path) -> None:
    """It runs with the repository's configuration; nobody else can look into its directory."""
    embedded().start()
    with connect(data_dir) as client:
        config = client.config_get("*")
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "always"
    assert config["no-appendfsync-on-rewrite"] == "no"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["save"] == ""
    assert config["port"] == "0"
    for path in (data_dir, *(data_dir / "redis").iterdir(), data_dir / "redis"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_is_out_of_reach_of_ctrl_c(embedded: Make, data_dir: Path) -> None:
    """A process group of its own, which the terminal does not signal, in our session."""
    embedded(data_dir).start()
    pid = server_pid(data_dir)
    assert os.getpgid(pid) == pid
    assert os.getsid(pid) == os.getsid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux'")
@pytest.mark.parametrize("set_already", [None, "glibc.malloc.check=0"])
def test_keeps_freed_memory_at_hand(
    embedded: Make, monkeypatch: pytest.MonkeyPatch, set_already: str | None
) -> None:
    """glibc is told to, unless whoever started the service has told it something."""
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if set_already:
        monkeypatch.setenv("GLIBC_TUNABLES", set_already)
    server = embedded()
    server.start()
    environment = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
    tunables = [entry for entry in environment if entry.startswith(b"GLIBC_TUNABLES=")]
    expected = set_already or "glibc.malloc.tcache_count=2000"
    assert tunables == [f"GLIBC_TUNABLES={expected}".encode()]


def test_heals_after_kill_9(embedded: Make, data_dir: Path) -> None:
    """A server that is killed is restarted on its data by itself, again and again."""
    server = embedded()
    server.start()
    with connect(data_dir) as client:
        client.set("key", "value")
    for _ in range(2):
        pid = server.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: server.pid != pid and answers(data_dir), "a restart")
        with connect(data_dir) as client:
            assert client.get("key") == "value"
    assert server.pid == server_pid(data_dir)


def test_refuses_a_second_service_on_one_directory(embedded: Make, data_dir: Path) -> None:
    """Two servers on one file would destroy it; the second start names the first one's pid."""
    embedded().start()
    with pytest.raises(StartupError, match=f"another service \\(pid {os.getpid()}\\) runs on"):
        embedded().start()
    assert answers(data_dir)


def test_takes_over_from_a_killed_service(embedded: Make, data_dir: Path) -> None:
    """A server whose service was killed is shut down first; its last write is there afterwards."""
    code = (
        "import os, pathlib, sys; from service.keyspace.embedded import EmbeddedServer\n"
        "EmbeddedServer(pathlib.Path(sys.argv[1])).start(); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(data_dir)], cwd=REPOSITORY)
    assert killed.returncode == -signal.SIGKILL
    orphan = server_pid(data_dir)
    assert is_alive(orphan)
    with connect(data_dir) as client:
        client.set("key", "value")

    embedded().start()
    assert not is_alive(orphan)
    with connect(data_dir) as client:
        assert client.get("key") == "value"


def test_says_why_it_cannot_start(embedded: Make, data_dir: Path) -> None:
    """Damaged data: one line with the server's own last words, and nothing left running."""
    server = embedded()
    server.start()
    with connect(data_dir) as client:
        client.set("key", "value")
    server.stop()
    (damaged,) = (data_dir / "redis" / "appendonlydir").glob("*.incr.aof")
    damaged.write_bytes(b"damage " * 100)

    with pytest.raises(StartupError, match=r"does not start: Bad file format.*redis\.log") as info:
        embedded().start()
    assert "\n" not in str(info.value)
    assert not is_alive(server_pid(data_dir))


def test_cuts_off_a_torn_last_write(embedded: Make, data_dir: Path) -> None:
    """Half a command at the end of the file was never answered: the start goes on without it."""
    server = embedded()
    server.start()
    with connect(data_dir) as client:
        client.set("key", "value")
    server.stop()
    (file,) = (data_dir / "redis" / "appendonlydir").glob("*.incr.aof")
    with file.open("ab") as torn:
        torn.write(b"*3\r\n$3\r\nSET\r\n$3\r\nke")

    embedded().start()
    with connect(data_dir) as client:
        assert client.get("key") == "value"


def test_names_a_program_that_cannot_run(embedded: Make, tmp_path: Path) -> None:
    """A missing server program is one line that names it."""
    with pytest.raises(StartupError, match=r"cannot run .*/absent: No such file"):
        embedded(binary=tmp_path / "absent").start()


def test_serves_from_a_directory_with_a_long_path(embedded: Make, tmp_path: Path) -> None:
    """Socket paths end at about 100 bytes; a deeper data directory works all the same."""
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 8)
    embedded(deep).start()
    wait_for_server(deep)
    assert answers(deep)


def test_waits_for_a_server_in_vain(data_dir: Path) -> None:
    """Where nothing runs, a process that was to attach ends with a line on what to start."""
    with pytest.raises(StartupError, match=r"no embedded Valkey runs on .*service redis"):
        wait_for_server(data_dir, patience=timedelta(0))


def test_gives_up_waiting_when_asked(embedded: Make) -> None:
    """A signal during a long start ends the wait, and the stop after it ends the server."""
    server = embedded()
    server.start(stop_asked=lambda: True)
    pid = server.pid
    server.stop()
    assert not is_alive(pid)


def test_drains_until_the_last_client_leaves(embedded: Make, data_dir: Path) -> None:
    """`drain` returns when no other client is connected, and not before."""
    server = embedded()
    server.start()
    with connect(data_dir) as client:
        client.ping()
        draining = threading.Thread(target=server.drain, args=(timedelta(seconds=60),))
        draining.start()
        wait_until(lambda: len(client.client_list()) == 2, "drain looks at the clients")
        assert draining.is_alive()
    draining.join(30)
    assert not draining.is_alive()


def test_refuses_a_shared_data_directory(embedded: Make, tmp_path: Path) -> None:
    """A directory such as /tmp is not made private behind the backs of those who share it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(StartupError, match="is shared or another user's"):
        embedded(shared).start()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


@pytest.mark.skipif(not shutil.which("redis-server"), reason="Debian's redis-server is absent")
def test_the_configuration_loads_on_redis(embedded: Make, data_dir: Path) -> None:
    """The same redis.conf, unchanged, on the installed Redis."""
    embedded(binary=Path(str(shutil.which("redis-server")))).start()
    with connect(data_dir) as client:
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
