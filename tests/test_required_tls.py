"""SERVICE_REQUIRE_TLS: what leaves the machine in clear stops the start, and nothing else does."""

import os
from pathlib import Path

import pytest
from tools.testbed.forked import run_command

from service.cli.required_tls import connections_in_clear, is_here, refuse_what_is_in_clear
from service.errors import SettingsError
from service.settings import Settings

SECRET = "hUnTeR2"
FAR = "db.example"


def settings(**variables: str) -> tuple[Settings, dict[str, str]]:
    """Settings that require TLS, and the environment that they are from."""
    environ = {"SERVICE_REQUIRE_TLS": "on", **variables}
    return Settings.from_environment(environ), environ


AWS = {
    "SERVICE_KMS": "aws",
    "SERVICE_KMS_AWS_KEY": "alias/x",
    "AWS_REGION": "eu-central-1",
    "AWS_CONFIG_FILE": "/nowhere",
}
VAULT = {"SERVICE_KMS": "vault", "VAULT_TOKEN": SECRET}

IN_CLEAR = [
    ("SERVICE_REDIS_URL", {"SERVICE_REDIS_URL": f"redis://u:{SECRET}@{FAR}:6379/0"}),
    ("SERVICE_REDIS_URL", {"SERVICE_REDIS_URL": "redis://10.0.0.7"}),
    ("SERVICE_REDIS_URL", {"SERVICE_REDIS_URL": "redis://[2001:db8::1]"}),
    ("SERVICE_REDIS_URL", {"SERVICE_REDIS_URL": "redis://localhost.example"}),
    ("SERVICE_REDIS_URL", {"SERVICE_REDIS_URL": "redis+sentinel://127.0.0.1,10.0.0.1/main"}),
    # These name other servers, which may be anywhere.
    ("SERVICE_REDIS_URL", {"SERVICE_REDIS_URL": "redis+sentinel://127.0.0.1/main"}),
    ("SERVICE_REDIS_URL", {"SERVICE_REDIS_URL": "redis+cluster://127.0.0.1"}),
    ("SERVICE_DATABASE_URL", {"SERVICE_DATABASE_URL": f"postgresql://u:{SECRET}@{FAR}/auth"}),
    *(
        (
            "SERVICE_DATABASE_URL",
            {"SERVICE_DATABASE_URL": f"postgresql://u:{SECRET}@{FAR}/auth?sslmode={mode}"},
        )
        for mode in ("disable", "allow", "prefer")
    ),
    ("SERVICE_DATABASE_URL", {"SERVICE_DATABASE_URL": f"postgres://127.0.0.1,{FAR}/auth"}),
    ("SERVICE_DATABASE_URL", {"SERVICE_DATABASE_URL": f"postgresql:///auth?host={FAR}"}),
    ("SERVICE_DATABASE_URL", {"SERVICE_DATABASE_URL": "postgresql:///auth?hostaddr=10.0.0.1"}),
    ("SERVICE_DATABASE_URL", {"SERVICE_DATABASE_URL": "postgresql:///auth", "PGHOST": FAR}),
    ("SERVICE_DATABASE_URL", {"SERVICE_DATABASE_URL": "postgresql://?service=main"}),
    ("SERVICE_DATABASE_URL", {"SERVICE_DATABASE_URL": "postgresql:///a", "PGSERVICE": "main"}),
    (
        "SERVICE_DATABASE_URL",
        {"SERVICE_DATABASE_URL": f"postgresql://{FAR}/a", "PGSSLMODE": "prefer"},
    ),
    ("VAULT_ADDR", {**VAULT, "VAULT_ADDR": f"http://{FAR}:8200"}),
    ("VAULT_ADDR", {**VAULT, "VAULT_ADDR": f"HTTP://{FAR}:8200"}),
    ("VAULT_ADDR", {**VAULT, "VAULT_ADDR": "https://[::1"}),  # which none can read
    ("VAULT_ADDR", {"VAULT_TOKEN": SECRET, "VAULT_ADDR": f"http://{FAR}"}),  # it still unwraps
    ("AWS_ENDPOINT_URL_KMS", {**AWS, "AWS_ENDPOINT_URL_KMS": f"http://{FAR}"}),
    *(
        (name, {"SERVICE_TRACING": "on", name: f"http://{FAR}:4318"})
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    ),
    ("AWS_ENDPOINT_URL_KMS", {**AWS, "AWS_ENDPOINT_URL": f"http://{FAR}"}),
]

FINE: list[dict[str, str]] = [
    {},
    {"SERVICE_REDIS_URL": f"rediss://u:{SECRET}@{FAR}"},
    {"SERVICE_REDIS_URL": f"rediss+sentinel://{FAR}/main"},
    {"SERVICE_REDIS_URL": f"rediss+cluster://{FAR}"},
    {"SERVICE_REDIS_URL": "redis://127.0.0.1:6379"},
    {"SERVICE_REDIS_URL": "redis://localhost"},
    {"SERVICE_REDIS_URL": "redis://[::1]"},
    {"SERVICE_REDIS_URL": "unix:///run/redis.sock"},
    {"SERVICE_DATABASE_URL": "sqlite:////tmp/a.db"},
    {"SERVICE_DATABASE_URL": "postgresql://127.0.0.1/auth"},
    {"SERVICE_DATABASE_URL": "postgresql:///auth"},
    {"SERVICE_DATABASE_URL": "postgresql:///auth?host=/run/postgresql"},
    *(
        {"SERVICE_DATABASE_URL": f"postgresql://{FAR}/auth?sslmode={mode}"}
        for mode in ("require", "verify-ca", "verify-full")
    ),
    {"SERVICE_DATABASE_URL": f"postgresql://{FAR}/auth?sslrootcert=system"},
    {"SERVICE_DATABASE_URL": f"postgresql://{FAR}/auth?ssl=true"},
    {"SERVICE_DATABASE_URL": f"postgresql://{FAR}/auth", "PGSSLMODE": "verify-full"},
    {**VAULT, "VAULT_ADDR": f"https://{FAR}:8200"},
    {**VAULT, "VAULT_ADDR": "http://127.0.0.1:8200"},
    {"VAULT_ADDR": f"http://{FAR}"},  # of other programs on this machine: nothing asks it
    {**AWS},
    {**AWS, "AWS_ENDPOINT_URL": "http://localhost:4566"},
]


@pytest.fixture(autouse=True)
def without_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests of AWS KMS have set in this process."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("setting", "variables"), IN_CLEAR)
def test_what_leaves_in_clear_is_refused(
    setting: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that names the setting and shows no secret; with `off`, all of it is let pass."""
    for name, value in variables.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        refuse_what_is_in_clear(*settings(**variables))
    line = str(refused.value)
    assert line.startswith(f"{setting} must ")
    assert "SERVICE_REQUIRE_TLS" in line
    assert SECRET not in line
    assert "\n" not in line
    refuse_what_is_in_clear(*settings(**variables, SERVICE_REQUIRE_TLS="off"))


@pytest.mark.parametrize("variables", FINE)
def test_what_stays_or_is_encrypted_is_let_pass(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS to anywhere, and anything on this machine."""
    for name, value in variables.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    assert connections_in_clear(*settings(**variables)) == []


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("LocalHost.", True),
        ("/run/x", True), ("0.0.0.0", False), ("127.0.0.1.example", False), ("", False),
        ("fe80::1%lo", False), ("::1%lo", True), ("127.0.0.1%2e.example", False),
        ("::ffff:10.0.0.1", False),
    ],
)  # fmt: skip
def test_what_is_this_machine(host: str, here: bool) -> None:
    """By what the setting says alone: a name that resolves to loopback now may not tomorrow."""
    assert is_here(host) is here


@pytest.mark.parametrize("command", [["serve"], ["migrate"], ["keys", "status"]])
def test_each_command_stops(tmp_path: Path, command: list[str]) -> None:
    """With exit code 2 and one line, before anything is made or connected to."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "SERVICE_DATA_DIR": str(tmp_path / "var"),
        "SERVICE_REDIS_URL": f"redis://u:{SECRET}@192.0.2.1",
        "SERVICE_REQUIRE_TLS": "on",
    }
    done = run_command(command, environment)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "SERVICE_REDIS_URL" in line
    assert "SERVICE_REQUIRE_TLS" in line
    assert SECRET not in done.stderr + done.stdout
    assert not (tmp_path / "var").exists()
