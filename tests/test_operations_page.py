"""docs/operations.md: each command on it, run as printed, does what the page says."""

import os
import re
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from tools.testbed.forked import run_command
from tools.testbed.postgresql import PostgresServer, find_binaries
from tools.testbed.redis_server import REPOSITORY, NetworkServer, available
from tools.testbed.service_process import PASSWORD, PATIENT, Person, ServiceProcess, claims_of
from tools.testbed.waiting import wait_until

from service.settings import Settings

PAGE = (REPOSITORY / "docs/operations.md").read_text(encoding="utf-8")
PORT = "http://127.0.0.1:8000"
ADA = "ada@example.com"

SECTIONS = {
    title: [
        line
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}


class Host:
    """Where a pod runs: its service, its stores, and the commands of the page."""

    def __init__(self, service: ServiceProcess, backup: Path) -> None:
        self.service = service
        path = f"{find_binaries()}:{os.environ['PATH']}"
        self.environment = {**service._environment, "PATH": path, "BACKUP": str(backup)}

    def run(self, title: str, *, fails: bool = False) -> str:
        """Run all commands of a section, one after the other. Return what they print."""
        said = ""
        for line in SECTIONS[title]:
            done = self._run(line.replace(PORT, self.service.url))
            assert done.returncode == 0 or fails, f"{line}\n{done.stdout}{done.stderr}"
            said += done.stdout + done.stderr
        return said

    def wait_for_marks(self) -> None:
        """Return once each feed bears its mark: neither readiness nor the doctor's code says so."""
        wait_until(
            lambda: "Guards read this feed" in run_command(["doctor"], self.environment).stdout
        )

    def backed_up(self) -> list[str]:
        """The names of what a backup has left."""
        return os.listdir(self.environment["BACKUP"])

    def _run(self, line: str) -> "subprocess.CompletedProcess[str]":
        program, *arguments = shlex.split(line)
        if program == "openshow-auth":
            return run_command(arguments, self.environment)
        return subprocess.run(
            ["sh", "-ec", line], env=self.environment, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def redis_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkServer]:
    server = NetworkServer(available()["valkey"], tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def host(
    postgres: PostgresServer, redis_on_disk: NetworkServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("host")
    with postgres.database(migrated=False) as database:
        service = ServiceProcess(
            directory, redis_on_disk.url, SERVICE_DATABASE_URL=postgres.url(database), **PATIENT
        ).start()
        host = Host(service, directory)
        host.wait_for_marks()
        yield host
        service.stop()


@pytest.fixture
async def ada(host: Host) -> AsyncIterator[Person]:
    """The person that the page is about, signed in; gone after the test."""
    async with httpx.AsyncClient(base_url=host.service.url, timeout=30) as client:
        answer = await client.post("/auth/signup", json={"email": ADA, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        yield Person(client, ADA, answer.json())
        arguments = ["users", "delete", ADA, "--reason", "the test is over", "--yes"]
        run_command(arguments, host.environment)


def test_install_and_upgrade(host: Host) -> None:
    """Tables, keys, doctor, readiness."""
    assert "No fault" in host.run("Install")
    assert re.search(r"\d+\.\d+\.\d+", host.run("Upgrade"))


async def test_back_up_and_restore(host: Host, ada: Person) -> None:
    """The password is that of the backup; no session lives, those opened since neither."""
    host.run("Back up")
    assert {"users.dump", "sessions.rdb", "local.keys"} <= set(host.backed_up())
    body = {"currentPassword": PASSWORD, "newPassword": "another horse battery"}
    changed = await ada.client.post("/auth/password/change", json=body, headers=ada.bearer)
    assert changed.status_code == 200
    host.run("Restore")
    host.wait_for_marks()
    assert (await ada.holding(changed.json()).me()).status_code == 401
    again = await ada.log_in(PASSWORD)
    assert (await again.me()).status_code == 200


async def test_redis_is_lost(host: Host, ada: Person, redis_on_disk: NetworkServer) -> None:
    """Nobody is signed in, and everybody can sign in."""
    with redis_on_disk.client() as client:
        client.flushall()
    host.run("Redis is lost")
    host.run("Redis has gone back in time")
    host.wait_for_marks()
    assert (await ada.me()).status_code == 401
    assert (await (await ada.log_in()).me()).status_code == 200


async def test_a_laptop_is_stolen(host: Host, ada: Person) -> None:
    """Its session is listed, ended, and the end told with the reason."""
    said = host.run("A laptop is stolen")
    assert ada.session_id in said
    assert "ticket 4711: laptop stolen" in said
    assert (await ada.me()).status_code == 401


async def test_a_dump_is_stolen(host: Host, ada: Person) -> None:
    """New tokens are signed by a new key as soon as all pods have it; no session lives."""
    said = host.run("A dump is stolen")
    assert said.count("signing") >= 2
    assert (await ada.me()).status_code == 401
    assert claims_of((await ada.log_in()).tokens["accessToken"])["sub"] == ada.user_id.hex()


async def test_locked_out(host: Host, ada: Person) -> None:
    """The link that is printed sets a password, and the person is in."""
    (token,) = re.findall(r"#reset=(osm_\S+)", host.run("Locked out"))
    body = {"token": token, "password": "another horse battery"}
    answer = await ada.client.post("/auth/password/reset", json=body)
    assert answer.status_code == 204, answer.text
    assert (await (await ada.log_in("another horse battery")).me()).status_code == 200


async def test_why_somebody_does_not_get_in(host: Host, ada: Person) -> None:
    """What the table says stands where it says so."""
    title = "Why can't this person log in?"
    fine = "Nothing here keeps this person from logging in"
    wait_until(lambda: fine in host.run(title))  # Redis was emptied a moment ago, by the test above

    wrong = {"email": ADA, "password": "not it"}
    for _ in range(10):
        assert (await ada.client.post("/auth/login", json=wrong)).status_code == 401
    assert (await ada.client.post("/auth/login", json=wrong)).status_code == 429
    said = host.run(title)
    assert "wrong_password: a wrong password was tried 10 times" in said
    assert "password_limit: the limit account_network is reached" in said

    arguments = ["users", "disable", ADA, "--reason", "for the test", "--yes"]
    assert run_command(arguments, host.environment).returncode == 0
    assert "disabled: an operator has disabled the account" in host.run(title)

    arguments[1] = "delete"
    assert run_command(arguments, host.environment).returncode == 0
    assert "no_account: there is no such account" in host.run(title)


def test_every_section_with_commands_is_run() -> None:
    """By one of the tests above, which say what comes of it."""
    source = Path(__file__).read_text(encoding="utf-8")
    run = set(re.findall(r'(?:host\.run\(|title = )"([^"]+)"', source))
    assert {title for title, commands in SECTIONS.items() if commands} == run


def test_the_unit_runs_our_command() -> None:
    """With settings that there are, and time to drain."""
    unit = (REPOSITORY / "docs/deploy/systemd/openshow-auth.service").read_text(encoding="utf-8")
    lines = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    assert lines["ExecStart"].split()[1:] == ["serve"]
    assert lines["ExecStart"].split()[0].endswith("/openshow-auth")
    name, value = lines["Environment"].split("=")
    assert str(Settings.from_environment({name: value}).data_dir) == value
    assert Path(value).name == lines["StateDirectory"]
    assert int(lines["TimeoutStopSec"]) >= 30


def test_the_compose_file_fits_the_program() -> None:
    """Its variables are settings, its secrets and volumes are there, its probe is answered."""
    file = yaml.safe_load((REPOSITORY / "docs/deploy/compose.yaml").read_text(encoding="utf-8"))
    services = file["services"]
    auth = services["auth"]
    plain = {k: v for k, v in auth["environment"].items() if not k.endswith("_FILE")}
    settings = Settings.from_environment(plain)
    assert settings.host == "0.0.0.0"
    for name, value in auth["environment"].items():
        if name.endswith("_FILE"):
            assert name.removesuffix("_FILE").removeprefix("SERVICE_").lower() in Settings.SECRETS
            assert Path(value).name in auth["secrets"]
    for service in services.values():
        assert set(service.get("secrets", [])) <= set(file["secrets"])
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in file["volumes"]
    (source,) = [c["file"] for c in file["configs"].values()]
    assert (REPOSITORY / "docs/deploy" / source).resolve() == REPOSITORY / "redis.conf"
    assert set(auth["depends_on"]) == set(services) - {"auth"}
    assert "http://127.0.0.1:8000/health/ready" in auth["healthcheck"]["test"][-1]
