import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from service.embedded import (
    health as embedded_health,
    server as embedded_module,
    supervisor as embedded_supervisor,
)
from service.embedded.client import server_url, wait_for_server
from service.embedded.files import make_private
from service.embedded.server import EmbeddedServer
from service.errors import StartupError
from tests.processes.program import REPOSITORY, Program, is_alive, server_pid, wait_until

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
    # glibc may end each tunable in its place with a zero, as if it were an entry.
    environment = Path(f"/proc/{server.pid}/environ").read_bytes().replace(b"\0", b":")
    expected = set_already or "glibc.malloc.tcache_count=2000:glibc.malloc.mxfast=0"
    assert environment.count(b"GLIBC_TUNABLES=") == 1
    assert f"GLIBC_TUNABLES={expected}:".encode() in environment


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


def restarted(server: EmbeddedServer, data_dir: Path, pid: int | None) -> bool:
    """Whether another process than `pid` serves the data."""
    if server.pid == pid or not answers(data_dir):
        return False
    with connect(data_dir) as client:
        return client.get("key") == "value"


@pytest.fixture
def running(embedded: Make, data_dir: Path) -> EmbeddedServer:
    """A server that holds a key."""
    server = embedded()
    server.start()
    with connect(data_dir) as client:
        client.set("key", "value")
    return server


def test_heals_without_its_log(running: EmbeddedServer, data_dir: Path) -> None:
    """Its last words are lost with the log; that does not end the watch, and the log is back."""
    for _ in range(2):
        pid = running.pid
        (data_dir / "redis" / "redis.log").unlink()
        os.kill(server_pid(data_dir), signal.SIGKILL)
        wait_until(lambda pid=pid: restarted(running, data_dir, pid), "a restart")
    assert (data_dir / "redis" / "redis.log").exists()


def test_heals_once_there_are_descriptors(start: Callable[..., Program], data_dir: Path) -> None:
    """EMFILE while it is started again: it says so, and tries again until there are some."""
    program = start()
    with program.client() as client:
        pid = server_pid(data_dir)
        soft, hard = resource.prlimit(program.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (0, hard))
        try:
            os.kill(pid, signal.SIGKILL)
            program.wait_for("cannot be restarted yet")
        finally:
            resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (soft, hard))
        wait_until(lambda: client.get("/health/ready").status_code == 200, "readiness")
        assert server_pid(data_dir) != pid


def server_pid_of(server: EmbeddedServer) -> int:
    assert server.pid is not None
    return server.pid


def test_heals_once_its_directory_is_back(
    running: EmbeddedServer, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Away when it dies: nothing is started elsewhere, nothing is lost, and it goes on."""
    pid = server_pid_of(running)
    away = data_dir.rename(data_dir.with_name("away"))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "cannot be restarted yet" in caplog.text, "a try")
    assert not data_dir.exists()
    away.rename(data_dir)
    wait_until(lambda: restarted(running, data_dir, pid), "a restart")


def test_a_directory_that_is_away_for_a_moment_disturbs_nobody(
    running: EmbeddedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that lives is left alone: who is connected goes on."""
    monkeypatch.setattr(embedded_health, "HANG_PATIENCE", 0.1)
    pid = running.pid
    with connect(data_dir) as client:
        client.ping()
        away = data_dir.rename(data_dir.with_name("away"))
        assert embedded_health.answers(data_dir / "redis" / "redis.sock") is None
        assert client.get("key") == "value"
        away.rename(data_dir)
    assert running.pid == pid


def test_replaces_one_that_hangs(
    running: EmbeddedServer,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Stopped, it answers nobody: it is killed and another takes its place, on the same data."""
    monkeypatch.setattr(embedded_health, "HANG_PATIENCE", 2.0)
    monkeypatch.setattr(embedded_health, "END_PATIENCE", 0.5)
    pid = server_pid_of(running)
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: restarted(running, data_dir, pid), "a replacement")
    assert "has hung for" in caplog.text
    assert not is_alive(pid)


def test_replaces_one_that_nobody_can_reach(
    running: EmbeddedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket file alone is gone: only a start makes it anew."""
    monkeypatch.setattr(embedded_health, "HANG_PATIENCE", 2.0)
    pid = running.pid
    (data_dir / "redis" / "redis.sock").unlink()
    wait_until(lambda: restarted(running, data_dir, pid), "a replacement")


def test_leaves_alone_one_that_is_busy(
    running: EmbeddedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long script, and a hang that is shorter than its patience: neither is a reason."""
    monkeypatch.setattr(embedded_health, "HANG_PATIENCE", 3.0)
    pid = server_pid_of(running)
    os.kill(pid, signal.SIGSTOP)
    wait_until(
        lambda: embedded_health.answers(data_dir / "redis" / "redis.sock") is False, "a silence"
    )
    os.kill(pid, signal.SIGCONT)
    busy = Redis.from_url(server_url(data_dir).reveal(), socket_timeout=30)
    looping = threading.Thread(target=lambda: _ignoring(busy.eval, "while true do end", 0))
    looping.start()
    time.sleep(6)  # twice its patience: the time itself is the point
    with connect(data_dir) as client:
        client.script_kill()
    looping.join()
    busy.close()
    assert running.pid == pid
    assert answers(data_dir)


def _ignoring(call: Callable[..., object], *arguments: object) -> None:
    with suppress(RedisError):
        call(*arguments)


def test_the_watch_survives_what_nobody_foresaw(
    running: EmbeddedServer,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An exception of any kind is logged, and the server looked after all the same."""
    raised = []

    def last_log_line(*_: object) -> str:
        if not raised:
            raised.append(True)
            raise RuntimeError("nobody foresaw it")
        return "it said nothing"

    monkeypatch.setattr(embedded_module, "last_log_line", last_log_line)
    monkeypatch.setattr(embedded_supervisor, "_LONGEST_PAUSE", 0.2)
    pid = server_pid_of(running)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: restarted(running, data_dir, pid), "a restart")
    assert "nobody foresaw it" in caplog.text


def test_refuses_a_second_service_on_one_directory(embedded: Make, data_dir: Path) -> None:
    """Two servers on one file would destroy it; the second start names the first one's pid."""
    embedded().start()
    with pytest.raises(StartupError, match=f"another service \\(pid {os.getpid()}\\) runs on"):
        embedded().start()
    assert answers(data_dir)


def test_takes_over_from_a_killed_service(embedded: Make, data_dir: Path) -> None:
    """A server whose service was killed is shut down first; its last write is there afterwards."""
    code = (
        "import os, pathlib, sys; from service.embedded.server import EmbeddedServer\n"
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


def test_waits_until_the_last_client_leaves(embedded: Make, data_dir: Path) -> None:
    """`wait_for_clients` returns when no other client is connected, and not before."""
    server = embedded()
    server.start()
    with connect(data_dir) as client:
        client.ping()
        waiting = threading.Thread(target=server.wait_for_clients, args=(timedelta(seconds=60),))
        waiting.start()
        wait_until(lambda: len(client.client_list()) == 2, "a look at the clients")
        assert waiting.is_alive()
    waiting.join(30)
    assert not waiting.is_alive()


def test_refuses_a_shared_data_directory(embedded: Make, tmp_path: Path) -> None:
    """A directory such as /tmp is not made private behind the backs of those who share it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(StartupError, match="is shared or another user's"):
        embedded(shared).start()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


@pytest.mark.parametrize("mode", [0o755, 0o2770, 0o500, 0o777])
@pytest.mark.parametrize("place", ["", "redis"])
@pytest.mark.parametrize("name", ["passwd", ".bashrc", "rediscovered.txt", "a\nb"])
def test_refuses_a_directory_of_something_else(
    embedded: Make, data_dir: Path, mode: int, place: str, name: str
) -> None:
    """It keeps its rights: whoever needs them is not shut out of /etc or a home."""
    directory = data_dir / place
    directory.mkdir(parents=True)
    (directory / name).touch()
    directory.chmod(mode)
    mode = directory.stat().st_mode
    with pytest.raises(StartupError, match="is not the service's own") as refused:
        embedded(data_dir).start()
    assert directory.stat().st_mode == mode
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("names", [[], ["service.db", "service.db-wal", "local.keys", "redis"]])
def test_makes_a_directory_of_its_own_private(tmp_path: Path, names: list[str]) -> None:
    """An empty one, as volumes are, and one whose rights somebody has changed."""
    for name in names:
        (tmp_path / name).touch()
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_uses_a_private_directory_whatever_it_holds(tmp_path: Path) -> None:
    """Nothing of it is to be changed."""
    (tmp_path / "passwd").touch()
    tmp_path.chmod(0o700)
    make_private(tmp_path)


@pytest.mark.skipif(not shutil.which("redis-server"), reason="Debian's redis-server is absent")
def test_the_configuration_loads_on_redis(embedded: Make, data_dir: Path) -> None:
    """The same redis.conf, unchanged, on the installed Redis."""
    embedded(binary=Path(str(shutil.which("redis-server")))).start()
    with connect(data_dir) as client:
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
