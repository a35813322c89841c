"""What the tests of keys share: a data dir to start on, and processes that start at once."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Delete, Insert, Update, select

from service.clock import system_clock
from service.database.tables import data_keys, sealed_keys, users
from service.keyring import signing
from service.keyring.keys import ServiceKeys
from service.keyring.kms.local import LocalKeyFile
from service.keyring.store import KeyStore
from tests.keyring.rigs import AwsRig, LocalRig, Pkcs11Rig, Rig, VaultRig
from tests.support import softhsm
from tests.support.aws_kms import AwsKms
from tests.support.bao import Bao
from tests.support.softhsm import SoftHsm
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.support.user_stores import UserStore

ROOT = Path(__file__).parents[2]  # where `python -c` finds the package


@pytest.fixture
def race() -> Callable[..., list[str]]:
    """Runs a script in so many processes, with arguments, and answers what each printed.

    A script says `ready` once everything is imported, then waits for a line: all are let go
    together, when the last is ready. Each must end with the exit status `ends`.
    """
    return _race


def _race(count: int, script: str, *arguments: object, ends: int = 0) -> list[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    racers = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    printed = [racer.communicate(timeout=30)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [ends] * count
    return printed


class DataDir:
    """A data dir, a migrated user store, and what a start of the service does and finds there."""

    def __init__(self, path: Path, store: UserStore) -> None:
        self.path = path
        self.store = store
        self.url = store.url
        self.engine = store.open()

    @property
    def provider(self) -> LocalKeyFile:
        """A provider as a new process makes it."""
        return LocalKeyFile.at(self.path, None)

    async def start(self) -> ServiceKeys:
        return await KeyStore(self.engine).load(self.provider, system_clock)

    async def change(self, *statements: Insert | Update | Delete) -> None:
        async with self.engine.begin() as connection:
            for statement in statements:
                await connection.execute(statement)

    async def rows(self) -> list[list[Any]]:
        """All data keys, sealed keys and users."""
        async with self.engine.connect() as connection:
            tables = (data_keys, sealed_keys, users)
            return [list(await connection.execute(select(table))) for table in tables]


@pytest.fixture
async def data_dir(tmp_path: Path, user_store: UserStore) -> AsyncIterator[DataDir]:
    data_dir = DataDir(tmp_path, user_store)
    yield data_dir
    await data_dir.engine.dispose()


@pytest.fixture
def secrets_of() -> Callable[[ServiceKeys], list[bytes]]:
    """Every secret in a set of keys, the private key in both its forms."""

    def listed(keys: ServiceKeys) -> list[bytes]:
        private = keys.signing.active.private_key
        return [
            *keys.keyring._data_keys.values(),
            signing.to_der(private),
            private.private_numbers().private_value.to_bytes(32, "big"),
            *keys.refresh_mac_keys.values(),
            *keys.peppers.values(),
            keys.email_digest_key,
        ]

    return listed


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """A Vault for all tests."""
    server = Bao(tmp_path_factory.mktemp("bao")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def aws_kms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsKms]:
    """An AWS KMS for all tests."""
    server = AwsKms(tmp_path_factory.mktemp("moto")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    """An HSM for all tests. Without one they are skipped, but not where everything must run."""
    if softhsm.library() is None:
        if os.environ.get("CI"):
            pytest.fail("SoftHSM is not installed")
        pytest.skip("SoftHSM is not installed: apt install softhsm2")
    return SoftHsm(tmp_path_factory.mktemp("hsm"))


@pytest.fixture(scope="session")
def vault_rig(bao: Bao) -> VaultRig:
    return VaultRig(bao)


@pytest.fixture(scope="session")
def aws_rig(aws_kms: AwsKms) -> AwsRig:
    return AwsRig(aws_kms)


@pytest.fixture(scope="session")
def pkcs11_rig(hsm: SoftHsm) -> Pkcs11Rig:
    return Pkcs11Rig(hsm)


@pytest.fixture(params=["local", "vault", "aws", "pkcs11"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    """A key service of each kind."""
    if request.param == "local":
        return LocalRig(tmp_path)
    found: Rig = request.getfixturevalue(f"{request.param}_rig")
    return found


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = system_clock()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def set_clock() -> SetClock:
    return SetClock()
