"""Exit codes of commands: 0 done, already so, or a dry run; 1 not there, refused, failed; 2 usage
or settings."""

from pathlib import Path

import pytest
from tools.testbed.forked import run_command
from tools.testbed.redis_server import RedisServer

from service.cli.arguments import parse
from service.cli.program import _parser


def run(data_dir: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """The exit code of a command, and what it says on standard error."""
    environment = {"PATH": "/usr/bin:/bin", "SERVICE_DATA_DIR": str(data_dir), **settings}
    done = run_command(arguments, environment)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "", "nosuch", "keys", "keys rotate nosuch", "keys retire one", "keys revoke signing",
        "migrate more", "redis nosuch", "serve --nosuch", "users", "users nosuch", "users find",
        "users disable x", "users disable --reason x", "users delete x --reason x --force",
        "sessions", "sessions end x --reason x", "sessions list", "cutoff", "cutoff --yes",
    ],
)  # fmt: skip
def test_usage(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    """What is no command is 2."""
    with pytest.raises(SystemExit) as ended:
        parse(_parser(), arguments.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ")


@pytest.mark.parametrize(
    "arguments",
    [
        "sessions list --user=--", "sessions end x --reason x --user=--", "migrate --wait=--",
        "events list --limit=--", "api-keys create x --scopes users.read --expires=--",
        "relying-parties create x --backchannel-logout-uri=--",
    ],
)  # fmt: skip
def test_two_dashes_are_no_value(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    """Nor is it a traceback: argparse drops them, and has an empty list for what it dropped."""
    with pytest.raises(SystemExit) as ended:
        parse(_parser(), arguments.split())
    assert ended.value.code == 2
    assert "-- is no value" in capsys.readouterr().err


WRONG = [
    {"SERVICE_NOSUCH": "1"},
    {"SERVICE_BCRYPT_COST": "3"},
    {"SERVICE_DATABASE_URL": "mysql://db/x"},
    {"SERVICE_DATABASE_URL": "sqlite:///"},
    {"SERVICE_DATABASE_URL": "sqlite:////"},
    {"SERVICE_DATABASE_URL": "postgresql://db:port/x"},
    {"SERVICE_DATABASE_URL": "postgresql://db/x?sslmode=nosuch"},
    {"SERVICE_DATABASE_URL": "postgresql://db/x?target_session_attrs=nosuch"},
    {"SERVICE_DATABASE_URL": "postgresql://db/x?sslmode=verify-full&sslrootcert=/nowhere"},
    {"SERVICE_DATA_DIR": "/proc/nowhere"},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_settings(tmp_path: Path, wrong: dict[str, str]) -> None:
    """One that is wrong is 2, and one line names it, whatever the command."""
    settings = {"SERVICE_REDIS_URL": f"unix://{tmp_path}/nowhere.sock"} | wrong
    code, said = run(tmp_path, "keys", "status", **settings)
    assert (code, said.count("\n")) == (2, 1), said
    assert next(iter(wrong)) in said


@pytest.mark.parametrize("host", [{"PGPORT": "x"}, {"PGPORT": "99999"}, {"PGHOST": "x..y"}])
def test_settings_of_libpq(tmp_path: Path, host: dict[str, str]) -> None:
    """A host or port that can be none is a line, of `doctor` a finding, wherever it comes from."""
    variables = {"SERVICE_DATABASE_URL": "postgresql:///x", "PGHOST": "127.0.0.1"} | host
    code, said = run(tmp_path, "migrate", **variables)
    assert (code, said.count("\n")) == (2, 1), said
    assert "SERVICE_DATABASE_URL" in said
    assert run(tmp_path, "doctor", **variables) == (1, "")


@pytest.mark.parametrize("command", ["migrate", "redis claim", "redis", "serve"])
def test_settings_of_other_commands(tmp_path: Path, command: str) -> None:
    """The same, whoever reads them."""
    wrong = {"SERVICE_REDIS_URL": "http://redis", "SERVICE_DATABASE_URL": "postgresql://db:port/x"}
    code, said = run(tmp_path, *command.split(), **wrong)
    assert (code, said.count("\n")) == (2, 1), said
    assert "SERVICE_" in said


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("vault", "VAULT_ADDR"),
        ("aws", "SERVICE_KMS_AWS_KEY"),
        ("pkcs11", "SERVICE_KMS_PKCS11_MODULE"),
    ],
)
def test_settings_of_a_key_service(tmp_path: Path, kind: str, names: str) -> None:
    """They are settings, too."""
    assert run(tmp_path, "migrate") == (0, "")
    code, said = run(tmp_path, "keys", "rotate", SERVICE_KMS=kind)
    assert (code, said.count("\n"), names in said) == (2, 1, True), said


def test_what_is_not_there_or_fails(keys: RedisServer, tmp_path: Path) -> None:
    """1, whether it is a database, a file, a server or a key; 0 where nothing was to do."""
    away = {
        "SERVICE_DATABASE_URL": "postgresql://tests@/x?host=/nowhere",
        "SERVICE_REDIS_URL": f"unix://{tmp_path}/nowhere.sock",
    }
    for command in ("migrate", "keys status", "keys rotate", "redis accept"):
        assert run(tmp_path, *command.split(), **away)[0] == 1, command
    for command in ("redis claim", "redis claim --yes"):
        code, said = run(tmp_path, *command.split(), **away)
        assert (code, "nothing is certain" in said) == (1, True), command
    for command in ("status", "test", "rotate", "rewrap", "retire", "revoke signing 1"):
        code, said = run(tmp_path, "keys", *command.split())
        assert (code, "is not set up" in said) == (1, True), command
    for _ in range(2):
        assert run(tmp_path, "migrate") == (0, "")
    assert run(tmp_path, "keys", "status") == (0, "")
    for command in ("rotate", "rewrap", "retire", "revoke signing 1"):
        code, said = run(tmp_path, "keys", *command.split())
        assert (code, "no keys yet" in said or "no epoch" in said) == (1, True), said
    claim = {"SERVICE_REDIS_URL": keys.url.reveal(), "SERVICE_ISSUER": "http://x"}
    for options in ((), ("--yes",), ("--yes",)):
        assert run(tmp_path, "redis", "claim", *options, **claim) == (0, "")
    (tmp_path / "service.db").write_text("no database of ours")
    for command in ("migrate", "keys status"):
        assert run(tmp_path, *command.split())[0] == 1
