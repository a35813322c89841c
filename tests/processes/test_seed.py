"""`scripts/seed` beside a service that runs: what is there afterwards, however it ended."""

import json
import os
import pty
import re
import secrets
import signal
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from tools.seed.__main__ import main as seed
from tools.seed.consent import database_hosts
from tools.seed.line import Line
from tools.testbed.forked import ForkedProgram

from service.database.migration import migrate
from service.embedded.client import server_url
from service.redis.keys import bucket
from tests.processes.program import REPOSITORY, Program, server_pid, wait_until
from tests.support.keys import session_prefix
from tests.support.user_stores import UserStore

OUT_OF_REACH = "redis://192.0.2.1:6379"
"""An address that is kept for documentation: nobody answers there."""


class Seed:
    """A seeder on the stores of a service."""

    def __init__(self, service: Program, *arguments: str, **settings: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SERVICE_")}
        environment |= {"SERVICE_ENV": "test", "SERVICE_BCRYPT_COST": "4"}
        environment |= {"SERVICE_DATA_DIR": str(service.data_dir)} | settings
        roots = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "scripts")))
        self._arguments = arguments
        self._said = service.data_dir.with_name(f"seed-{secrets.token_hex(8)}.log")
        self._environment = environment | {"PYTHONPATH": roots}

    def start(self) -> ForkedProgram:
        """Begin a run, whose end `ended` waits for."""
        return ForkedProgram(
            "tools.seed", self._arguments, REPOSITORY, self._environment, self._said
        )

    def ended(self, process: ForkedProgram) -> tuple[int, str]:
        """Its exit code and all that it said."""
        code, said = process.wait(60), self._said.read_text(encoding="utf-8")
        self._said.unlink()
        return code, said

    def run(self) -> tuple[int, str]:
        """Begin a run and wait for its end."""
        return self.ended(self.start())

    def asked(self, terminal: int) -> tuple[int, str]:
        """The same of one that asks at a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "tools.seed", *self._arguments],
            env=self._environment,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout


def plan(prefix: str, users: int, each: int, *more: str) -> tuple[str, ...]:
    """The arguments of a run."""
    return ("--prefix", prefix, "--users", f"{users}", "--sessions-per-user", f"{each}", *more)


def redis_of(service: Program) -> "Redis":
    return Redis.from_url(server_url(service.data_dir).reveal())


def sessions_of(service: Program) -> Counter[bytes]:
    """How many living sessions each user has, by Redis' own keys."""
    counted: Counter[bytes] = Counter()
    with redis_of(service) as redis:
        living = set(redis.scan_iter(match="session:*", count=10_000))
        for index in redis.scan_iter(match="sessions:*", count=10_000):
            user_id = index[len(bucket(b"\0").index) :]
            prefix = session_prefix(user_id)
            counted[user_id] = sum(prefix + digest in living for digest in redis.hvals(index))
    assert counted.total() == len(living), "a session that no index knows"
    return counted


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A service with the embedded Valkey and SQLite, which is emptied under it."""
    program = Program(tmp_path_factory.mktemp("running") / "var", SERVICE_REDIS_ROLLBACK="off")
    program.wait_for("serves on")
    yield program
    program.clear_away()


@pytest.fixture
def service(running: Program) -> Program:
    """`running`, without a session."""
    with redis_of(running) as redis:
        redis.flushall()
    return running


def test_as_many_as_were_asked_for(start: Any, user_store: UserStore) -> None:
    """Accounts and sessions, on either user store; a second run finds them, more adds the rest."""
    settings = {"SERVICE_DATABASE_URL": user_store.url}
    service = start(**settings)
    service.wait_for("serves on")
    asked = ((300, 4, "300 added, 0 found"), (300, 4, "0 added, 300 found"), (301, 7, "1 added"))
    for users, each, says in asked:
        code, output = Seed(service, *plan("many", users, each), **settings).run()
        assert code == 0, output
        assert says in output
        rows = user_store.ask("SELECT id, email FROM users")
        numbered = {f"many-{number:07}@example.org" for number in range(1, users + 1)}
        assert {email for _, email in rows} == numbered
        assert sessions_of(service) == {bytes(user_id): each for user_id, _ in rows}
    assert "3.00 a user" not in output
    code, output = Seed(service, *plan("many", 10, 2), **settings).run()
    assert (code, "10 accounts have more" in output) == (0, True), output
    assert sessions_of(service).total() == 301 * 7


def test_says_what_a_session_costs(service: Program) -> None:
    """Bytes a session and keys a user, without the streams of events."""
    code, output = Seed(service, *plan("cost", 1000, 2)).run()
    assert code == 0, output
    # And at most one for each bucket that the service itself has written to meanwhile (`barrier`).
    assert re.search(r"^keys +3,0\d\d more: 1\.0[0-3] a session$", output, re.MULTILINE)
    assert re.search(r"3\.0\d a user, of whom 1,000 had none", output)
    told = re.search(r"bytes +([\d.]+) a session", output)
    assert told
    assert 100 < float(told[1]) < 500


def test_goes_on_after_kill_9(service: Program, tmp_path: Path) -> None:
    """Killed half-way and run again, it ends with exactly what was asked for; no token is false."""
    file = tmp_path / "tokens.jsonl"
    arguments = plan("killed", 1500, 5, "--export", str(file))
    process = Seed(service, *arguments).start()
    with redis_of(service) as redis:
        wait_until(lambda: redis.dbsize() > 500, "the seeder is at work")
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    with file.open("ab") as torn:
        torn.write(b'{"user":"torn')
    assert 0 < sessions_of(service).total() < 7500
    code, output = Seed(service, *arguments).run()
    assert code == 0, output
    counted = sessions_of(service)
    assert len(counted) == 1500
    assert set(counted.values()) == {5}
    lines = lines_of(file)
    assert len({line["session"] for line in lines}) == len(lines) <= 7500
    assert "their tokens" in output or len(lines) == 7500
    with service.client() as client:
        for line in (lines[0], lines[-1]):
            assert client.get("/auth/me", headers=bearer(line)).status_code == 200


def test_ctrl_c_leaves_nothing_half_done(service: Program, tmp_path: Path) -> None:
    """Every session opened has its line in the export, and the next run adds the others."""
    file = tmp_path / "tokens.jsonl"
    arguments = plan("stopped", 1500, 10, "--export", str(file))
    seed = Seed(service, *arguments)
    process = seed.start()
    with redis_of(service) as redis:
        wait_until(lambda: redis.dbsize() > 500, "the seeder is at work")
    process.send_signal(signal.SIGINT)
    code, output = seed.ended(process)
    assert code == 130, output
    assert "the same command goes on" in output
    opened = sessions_of(service).total()
    assert 0 < opened == len(lines_of(file)) < 15_000
    code, output = Seed(service, *arguments).run()
    assert code == 0, output
    assert f"{opened:,} found, {15_000 - opened:,} opened" in output
    assert sessions_of(service).total() == len(lines_of(file)) == 15_000


def test_goes_on_after_redis_was_away(service: Program) -> None:
    """A server that dies half-way ends the run with a line; the next one makes up for it."""
    seed = Seed(service, *plan("away", 1000, 4))
    process = seed.start()
    with redis_of(service) as redis:
        wait_until(lambda: redis.dbsize() > 500, "the seeder is at work")
        os.kill(server_pid(service.data_dir), signal.SIGKILL)
    code, output = seed.ended(process)
    assert code == 1, output
    assert "scripts/seed: Redis cannot be reached; the same command goes on" in output
    code, output = seed.run()
    assert code == 0, output
    counted = sessions_of(service)
    assert len(counted) == 1000
    assert set(counted.values()) == {4}


def bearer(line: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {line['accessToken']}"}


def test_exported_tokens_are_accepted(service: Program, tmp_path: Path) -> None:
    """By the running service: me, refresh, logout, and the password; the file is ours alone."""
    file = tmp_path / "tokens.jsonl"
    file.touch(mode=0o644)
    arguments = plan("export", 4, 2, "--export", str(file), "--export-limit", "7")
    code, output = Seed(service, *arguments, "--password", "a long enough one").run()
    assert code == 0, output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = lines_of(file)
    assert len(lines) == 7
    with service.client() as client:
        for line in lines:
            check_line(client, line)
            for secret in ("accessToken", "refreshToken"):
                assert line[secret] not in output
    assert output.count("a long enough one") == 1
    code, output = Seed(service, *arguments, "--password", "a long enough one").run()
    assert (code, len(lines_of(file)), "lost" in output) == (0, 7, False), output


def check_line(client: httpx.Client, line: dict[str, Any]) -> None:
    names = "user email password session refreshToken accessToken accessExpiresAt"
    assert list(line) == names.split()
    me = client.get("/auth/me", headers=bearer(line)).json()
    assert (me["user"]["id"], me["user"]["email"]) == (line["user"], line["email"])
    assert me["session"]["id"] == line["session"]
    renewed = client.post("/auth/refresh", json={"refreshToken": line["refreshToken"]})
    assert renewed.status_code == 200
    body = {"refreshToken": renewed.json()["refreshToken"]}
    assert client.post("/auth/logout", json=body, headers=bearer(line)).status_code == 204
    assert client.get("/auth/me", headers=bearer(line)).status_code == 401
    login = {"email": line["email"], "password": line["password"]}
    assert client.post("/auth/login", json=login).status_code == 200


def test_all_accounts_have_one_password(service: Program) -> None:
    """The same in every run, one hash for all; another one is refused and changes nothing."""
    first = Seed(service, *plan("word", 2, 1)).run()
    again = Seed(service, *plan("word", 4, 1)).run()
    passwords = [re.search(r"password +(\S+)", output) for _, output in (first, again)]
    assert passwords[0]
    assert passwords[1]
    assert passwords[0][1] == passwords[1][1]
    with service.client() as client:
        login = {"email": "word-0000004@example.org", "password": passwords[0][1]}
        assert client.post("/auth/login", json=login).status_code == 200
    code, output = Seed(service, *plan("word", 9, 1, "--password", "quite another")).run()
    assert (code, "have another password" in output) == (2, True), output
    assert len(sessions_of(service)) == 4


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "says"),
    [
        (plan("x", 1, 51), {}, 2, r"above SERVICE_MAX_SESSIONS \(50\)"),
        (plan("X!", 1, 1), {}, 2, "--prefix must be"),
        (plan("x", 1, 1, "--password", "short"), {}, 2, "--password: .* too short"),
        (plan("x", 1, 1, "--export", "/dev/null/x"), {}, 2, "--export /dev/null/x: "),
        (plan("x", 1, 1, "--export", str(REPOSITORY / "README.md")), {}, 2, "something else"),
        (plan("x", 1, 1), {"SERVICE_PROT": "1"}, 2, "SERVICE_PROT is not a setting"),
        (plan("x", 1, 1), {"SERVICE_DATA_DIR": "empty"}, 2, "no service runs on .*/empty"),
        (plan("x", 1, 1), {"SERVICE_DATABASE_URL": "empty"}, 2, "cannot be used: No such file"),
        (plan("x", 1, 1), {"SERVICE_DATABASE_URL": "unused"}, 2, "no keys yet: start the service"),
        (plan("x", 1, 1), {"SERVICE_REDIS_URL": "redis://127.0.0.1:1"}, 1, "Redis cannot be reach"),
        (plan("x", 1, 1), {"SERVICE_REDIS_URL": OUT_OF_REACH}, 2, "192.0.2.1: not on this machine"),
        (
            plan("x", 1, 1),
            {"SERVICE_DATABASE_URL": "postgresql://u@192.0.2.1/db"},
            2,
            "192.0.2.1: not on this machine",
        ),
        (plan("x", 1, 1, "--yes"), {"SERVICE_REDIS_URL": OUT_OF_REACH}, 1, "Redis cannot be reach"),
    ],
)
def test_says_in_a_line_what_is_wrong(
    service: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    settings: dict[str, str],
    code: int,
    says: str,
) -> None:
    """What cannot be done is told in one line, without a traceback, and nothing is done."""
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "empty" if "SERVICE_DATA_DIR" in settings else service.data_dir
    own = {"SERVICE_DATA_DIR": str(directory), "SERVICE_DATABASE_URL": ""}
    if (database := settings.get("SERVICE_DATABASE_URL")) in ("empty", "unused"):
        settings = {"SERVICE_DATABASE_URL": f"sqlite:///{tmp_path / database}"}
        if database == "unused":
            migrate(settings["SERVICE_DATABASE_URL"])
    for name, value in (own | settings | {"SERVICE_DATA_DIR": str(directory)}).items():
        monkeypatch.setenv(name, value)
    readme = (REPOSITORY / "README.md").read_bytes()
    assert seed(arguments) == code
    output = capsys.readouterr()
    assert re.fullmatch(rf"scripts/seed: .*{says}.*\n", output.err), output.err
    assert not output.out
    assert not sessions_of(service)
    assert (REPOSITORY / "README.md").read_bytes() == readme


@pytest.mark.parametrize(("answer", "code"), [(b"\n", 2), (b"y\n", 1)])
def test_asks_before_it_fills_what_is_elsewhere(service: Program, answer: bytes, code: int) -> None:
    """Only a yes goes on: then it finds that nobody answers at that address."""
    terminal, end = pty.openpty()
    os.write(terminal, answer)
    seed = Seed(service, *plan("x", 3, 2), SERVICE_REDIS_URL=OUT_OF_REACH)
    exit_code, output = seed.asked(end)
    os.close(terminal)
    os.close(end)
    assert exit_code == code, output
    assert "192.0.2.1: not on this machine. 3 accounts and 6 sessions will be added" in output


def test_a_line_shows_no_secret() -> None:
    """Neither a traceback nor a log of who holds one has its password and tokens."""
    shown = repr(Line("ab", "ann@example.org", "a password", "cd", "osr_refresh", "access", 1))
    assert "cd" in shown
    for secret in ("a password", "osr_refresh", "access"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("sqlite:///service.db", []),
        ("postgresql://ann:s@db.example:5433/x", ["db.example"]),
        ("postgres://db.example/x", ["db.example"]),
        ("postgresql://one.example,[2001:db8::7]:5433/x", ["one.example", "2001:db8::7"]),
        ("postgresql:///x?host=db.example", ["db.example"]),
        ("postgresql:///x?host=/var/run/postgresql", []),
        ("postgresql:///x", ["pg.example"]),
    ],
)
def test_hosts_of_a_user_store(monkeypatch: pytest.MonkeyPatch, url: str, hosts: list[str]) -> None:
    """Whoever is asked about is whom asyncpg would connect to, in either spelling of the scheme."""
    monkeypatch.setenv("PGHOST", "pg.example")
    assert database_hosts(url) == hosts
