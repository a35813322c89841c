"""Pods on machines of their own: they share Redis, PostgreSQL and a key file, and no disk."""

import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tools.testbed.postgresql import PostgresServer
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess, sign_up

from tests.support.looking import ON_VALKEY
from tests.support.two_factor import Holder, new_holder

NewMachine = Callable[..., ServiceProcess]

pytestmark = ON_VALKEY


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The name of a database that nobody has migrated."""
    with postgres.database(migrated=False) as name:
        yield name


@pytest.fixture
def new_machine(
    keys: RedisServer, postgres: PostgresServer, database: str, tmp_path: Path
) -> Iterator[NewMachine]:
    """Makes pods with a directory of their own, which are not started yet."""
    made: list[ServiceProcess] = []

    def new_machine(key_file: Path | None = None) -> ServiceProcess:
        directory = tmp_path / f"machine-{len(made)}"
        directory.mkdir()
        settings = {"SERVICE_DATABASE_URL": postgres.url(database)}
        if key_file:
            settings["SERVICE_KMS_LOCAL_KEY_FILE"] = str(key_file)
        made.append(ServiceProcess(directory, keys.url, **settings, **PATIENT))
        return made[-1]

    yield new_machine
    for machine in made:
        assert machine.stop() == 0


def new_key_file(path: Path) -> Path:
    """Made by the command that docs/settings.md tells operators to run."""
    page = (REPOSITORY / "docs/settings.md").read_text(encoding="utf-8")
    found = re.search(r"```sh\n(umask 077.*?)```", page, re.DOTALL)
    assert found
    path.mkdir()
    subprocess.run(["sh", "-euc", found[1]], cwd=path, check=True)
    return path / "local.keys"


def start_together(machines: list[ServiceProcess]) -> None:
    with ThreadPoolExecutor(len(machines)) as threads:
        list(threads.map(ServiceProcess.start, machines))


async def use(pods: list[ServiceProcess]) -> Holder:
    """An account that each pod knows, with a second factor from one that another accepts."""
    first, second, third = [httpx.AsyncClient(base_url=pod.url, timeout=30) for pod in pods]
    async with first, second, third:
        ann = await new_holder(first)
        await ann.begin()
        ann.recovery_codes = (await ann.verify(client=second)).json()["recoveryCodes"]
        challenge = (await ann.password(third)).json()["challengeId"]
        answer = await ann.answer(challenge, ann.phone.code(1), first)
        assert answer.status_code == 200, answer.text
        ann.client, ann.tokens = second, answer.json()
        refreshed = ann.holding((await ann.refresh()).json())
        refreshed.client = third
        assert (await refreshed.log_out()).status_code == 204
        for client in (first, second, third):
            refreshed.client = client
            assert (await refreshed.me()).status_code == 401
        sets = [(await client.get("/.well-known/jwks.json")).text for client in (first, second)]
        assert sets[0] == sets[1]
    return ann


async def test_pods_that_start_at_once_are_one_service(
    new_machine: NewMachine, tmp_path: Path
) -> None:
    """On an empty database, with one key file: who signs up at one is known to all."""
    key_file = new_key_file(tmp_path / "secret")
    pods = [new_machine(key_file) for _ in range(3)]
    start_together(pods)
    await use(pods)
    assert sum(pod.output().count(f"the key file {key_file}") for pod in pods) == 1, "who made them"
    for pod in pods:
        assert not list((pod.directory / "var").glob("local.keys*"))


async def test_a_pod_with_another_key_file_keeps_out(
    new_machine: NewMachine, postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    """It stops with one line that names the file, also where there is none, and changes nothing."""

    def stored() -> list[object]:
        tables = "data_keys", "sealed_keys"
        return [postgres.ask(f"SELECT * FROM {table}", database) for table in tables]

    right, wrong = new_key_file(tmp_path / "right"), new_key_file(tmp_path / "wrong")
    pod, content = new_machine(right).start(), wrong.read_bytes()
    before = stored()
    for key_file, says in ((wrong, "does not open the data keys"), (None, "is missing")):
        machine = new_machine(key_file)
        code, line = machine.refusal()
        assert (code, line.count("\n")) == (2, 1), line
        assert says in line
        assert "SERVICE_KMS_LOCAL_KEY_FILE" in line
        assert str(key_file or machine.directory / "var" / "local.keys") in line
        assert not list((machine.directory / "var").glob("*.keys"))
    assert wrong.read_bytes() == content
    assert stored() == before
    async with httpx.AsyncClient(base_url=pod.url, timeout=30) as client:
        assert (await (await sign_up(client)).log_in()).tokens
