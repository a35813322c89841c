"""`openshow-auth keys ...` as an operator runs it, beside a service in use."""

import asyncio
import itertools
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
import pytest
from sqlalchemy import insert
from tools.testbed.forked import run_command
from tools.testbed.postgresql import PostgresServer
from tools.testbed.redis_server import REPOSITORY, RedisServer, available
from tools.testbed.service_process import PATIENT, ServiceProcess, sign_up
from tools.testbed.waiting import eventually

from service.clock import system_clock
from service.database.tables import users
from service.keyring.data_key_rotation import DataKeyRotation
from service.keyring.envelope import epoch_of
from service.keyring.kms.local import LocalKeyFile
from service.keyring.store import KeyStore
from service.settings import Secret
from service.twofactor.codes import seal_secret
from tests.keyring.rigs import VaultRig
from tests.support.bao import ROOT_TOKEN, Bao
from tests.support.two_factor import Holder, let_steps_pass, new_holder
from tests.support.user_stores import UserStore, postgres_store

SEEDED = 2_000


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(available()["valkey"], tmp_path).start()
    yield server
    server.stop()


class Operator:
    """Somebody at a terminal with the settings of a pod."""

    def __init__(self, data_dir: Path, redis_url: Secret, **settings: str) -> None:
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")
        } | {
            "SERVICE_DATA_DIR": str(data_dir),
            "SERVICE_REDIS_URL": redis_url.reveal(),
            **PATIENT,
            **settings,
        }

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "service", "keys", *arguments],
            cwd=REPOSITORY,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    async def run(self, *arguments: str, status: int = 0) -> str:
        """What the command prints; it must end with this status."""
        command = ["keys", *arguments]
        done = await asyncio.to_thread(run_command, command, self._environment, 120)
        printed = done.stdout + done.stderr
        assert done.returncode == status, printed
        assert "Traceback" not in printed
        return printed


async def seed(store: UserStore, data_dir: Path) -> None:
    """Thousands of accounts with a second factor, sealed as the service does it."""
    engine = store.open()
    keys = await KeyStore(engine).load(LocalKeyFile.at(data_dir, None), system_clock)
    rows = []
    for number in range(SEEDED):
        user_id = os.urandom(16)
        rows.append(
            {
                "id": user_id,
                "email": "",
                "email_key": f"seeded{number}",
                "password_hash": "",
                "password_scheme": 1,
                "two_fa_enabled": True,
                "enrolment_id": user_id,
                "totp_sealed": seal_secret(keys.keyring, user_id, user_id, os.urandom(20)),
                "totp_epoch": 1,
                "created_at": 0,
            }
        )
    async with engine.begin() as connection:
        await connection.execute(insert(users), rows)
    await engine.dispose()


def epochs_in(store: UserStore) -> dict[int, int]:
    """Secrets by the epoch that their rows tell."""
    return dict(
        store.ask(
            "SELECT totp_epoch, count(*) FROM users WHERE totp_sealed IS NOT NULL"
            " GROUP BY totp_epoch"
        )
    )


def epochs_are_true(store: UserStore) -> bool:
    """Whether each row tells the epoch that its blob really has."""
    rows = store.ask("SELECT totp_sealed, totp_epoch FROM users WHERE totp_sealed IS NOT NULL")
    return all(epoch_of(bytes(blob)) == epoch for blob, epoch in rows)


class Logins:
    """People who log in with a code, again and again, now at one pod, now at the other."""

    def __init__(self, server: RedisServer, holders: list[Holder], pods: list[str]) -> None:
        self._server = server
        self._holders = holders
        self._pods = pods
        self.succeeded = 0
        self.failed: list[str] = []

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """While the block runs."""
        tasks = [asyncio.create_task(self._log_in(holder)) for holder in self._holders]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _log_in(self, holder: Holder) -> None:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))
                for url in self._pods
            ]
            for client in itertools.cycle(clients):
                answer = await holder.password(client)
                if answer.status_code == 202:
                    let_steps_pass(self._server)
                    challenge = answer.json()["challengeId"]
                    answer = await holder.answer(challenge, holder.phone.code(), client)
                if answer.status_code == 200:
                    self.succeeded += 1
                else:
                    self.failed.append(answer.text)
                await asyncio.sleep(0.5)  # people, not a flood


@pytest.fixture
def pods(
    redis: RedisServer, user_store: UserStore, tmp_path: Path
) -> Iterator[list[ServiceProcess]]:
    """Two pods with one Redis and one user store."""
    settings = PATIENT | dict(user_store.settings)
    first = ServiceProcess(tmp_path, redis.url, **settings)
    (tmp_path / "other").mkdir()
    pods = [first, first.beside(tmp_path / "other", **settings)]
    try:
        yield [pod.start() for pod in pods]
    finally:
        codes = [pod.stop() for pod in pods]
    assert codes == [0, 0]


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Look every now and then until it holds."""

    async def holds() -> bool:
        return condition()

    await eventually(holds, seconds)


async def test_rotation_beside_logins_at_two_pods(
    redis: RedisServer, user_store: UserStore, pods: list[ServiceProcess], tmp_path: Path
) -> None:
    """Rotate, rewrap, kill the rewrapper at random points, go on: no login fails, no record is
    lost, every one is in the new epoch, and the old one can be retired."""
    data_dir = tmp_path / "var"
    operator = Operator(data_dir, redis.url, **user_store.settings)
    async with httpx.AsyncClient(base_url=pods[0].url, timeout=30) as http:
        holders = [await (await new_holder(http)).enrol() for _ in range(3)]
        pending = await new_holder(http)
        await pending.begin()
        await seed(user_store, data_dir)
        logins = Logins(redis, holders, [pod.url for pod in pods])
        async with logins.going_on():
            assert "Epoch 2 is published and seals from" in await operator.run("rotate")
            await _kill_some_rewrappers(operator, user_store)
            both = await asyncio.gather(operator.run("rewrap"), operator.run("rewrap"))
            assert all(re.search(r"Secrets sealed anew: [\d,]+ of ", each) for each in both)
            assert epochs_in(user_store) == {2: SEEDED + len(holders)}
            assert epochs_are_true(user_store)
            status = await operator.run("status")
            assert re.search(rf"^2 +seals .* {SEEDED + 3:,} +4$", status, re.MULTILINE), status
            assert re.search(r"^1 +opens .* 0 +0$", status, re.MULTILINE), status
            assert "may still seal a pending" in await operator.run("retire", status=1)
            await _retire(user_store, data_dir)
            assert (await pending.verify()).status_code == 200  # begun in epoch 1
            enough = logins.succeeded + 6 * len(holders)
            await until(lambda: logins.succeeded >= enough)
    assert logins.failed == [], [_warnings(pod) for pod in pods]


def _warnings(pod: ServiceProcess) -> list[str]:
    return [line for line in pod.output().splitlines() if '"warning"' in line]


async def _kill_some_rewrappers(operator: Operator, store: UserStore) -> None:
    """SIGKILL three of them, each when it has moved some records and not yet all."""
    for _ in range(3):
        enough = epochs_in(store).get(2, 0) + random.randrange(1, SEEDED // 5)
        with operator.begin("rewrap") as process:

            async def came_far(process: Any = process, enough: int = enough) -> bool:
                return process.poll() is not None or epochs_in(store).get(2, 0) >= enough

            await eventually(came_far, 60)
            process.send_signal(signal.SIGKILL)
        assert sum(epochs_in(store).values()) == SEEDED + 3


async def _retire(store: UserStore, data_dir: Path) -> None:
    """As the command does it, but without waiting for pending enrolments to end."""
    engine = store.open()
    await DataKeyRotation(engine, LocalKeyFile.at(data_dir, None), system_clock).retire(
        1, timedelta()
    )
    await engine.dispose()


@pytest.mark.parametrize("new_user_store", ["postgresql"], indirect=True)  # one is enough
async def test_signing_key_is_rotated_and_revoked(
    redis: RedisServer, user_store: UserStore, pods: list[ServiceProcess], tmp_path: Path
) -> None:
    """Both pods publish the next key within seconds. After a revocation both refuse what the old
    one signed; the session goes on with a refresh, and its new token is good at both."""
    operator = Operator(tmp_path / "var", redis.url, **user_store.settings)

    async def kids(pod: ServiceProcess) -> list[str]:
        answer = await http.get(f"{pod.url}/.well-known/jwks.json")
        return [key["kid"] for key in answer.json()["keys"]]

    async def publish_both() -> bool:
        return [len(await kids(pod)) for pod in pods] == [2, 2]

    async with httpx.AsyncClient(base_url=pods[0].url, timeout=30) as http:
        person = await sign_up(http)
        assert "The signing key 2 is published" in await operator.run("rotate", "signing")
        await eventually(publish_both)
        stolen = jwt.get_unverified_header(person.tokens["accessToken"])["kid"]
        assert "waits for its time" in await operator.run("rotate", "signing", status=1)
        status = await operator.run("status")
        assert re.search(rf"^signing +1 +in use .* {re.escape(stolen)}$", status, re.MULTILINE)
        assert re.search(r"^signing +2 +in use in 1[01] min ", status, re.MULTILINE), status
        assert "The key 3 has taken its place" in await operator.run("revoke", "signing", stolen)

        async def refused_by_both() -> bool:
            asked = [await http.get(f"{pod.url}/auth/me", headers=person.bearer) for pod in pods]
            return [answer.status_code for answer in asked] == [401, 401]

        await eventually(refused_by_both)
        assert stolen not in await kids(pods[0]) + await kids(pods[1])
        renewed = person.holding((await person.refresh()).json())
        for pod in pods:
            answer = await http.get(f"{pod.url}/auth/me", headers=renewed.bearer)
            assert answer.status_code == 200


async def test_commands_have_time(
    postgres: PostgresServer, redis: RedisServer, tmp_path: Path
) -> None:
    """A command waits for a database that takes longer than any request may; one that is away and
    one that is not set up are told apart, and neither is told to set up what is there."""
    with postgres_store(postgres) as store:
        patience = {"SERVICE_DATABASE_TIMEOUT_MS": "100"}
        operator = Operator(tmp_path / "var", redis.url, SERVICE_DATABASE_URL=store.url, **patience)
        pod = ServiceProcess(tmp_path, redis.url, SERVICE_DATABASE_URL=store.url, **PATIENT).start()
        assert pod.stop() == 0
        holder = await asyncpg.connect(store.url)
        await holder.execute("BEGIN; LOCK TABLE users, data_keys")
        asked = asyncio.create_task(operator.run("status"))
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"

        async def waits() -> bool:
            return bool(await holder.fetch(waiting))

        await eventually(waits)
        longer = "SELECT pg_sleep(6)"  # than a request, or a connection, may take
        await holder.execute(longer)
        assert not asked.done()
        await holder.execute("ROLLBACK")
        assert "seals" in await asked
        await holder.close()
        away = store.url.replace("/test_", "/nowhere_")
        settings = patience | {"SERVICE_DATABASE_URL": away}
        said = await Operator(tmp_path / "var", redis.url, **settings).run("status", status=1)
        assert "no database of this name" in said
        away = "postgresql://tests@/x?host=/nowhere"
        settings = patience | {"SERVICE_DATABASE_URL": away}
        said = await Operator(tmp_path / "var", redis.url, **settings).run("status", status=1)
        assert "the user store cannot be reached" in said
        assert "migrate" not in said


async def test_keys_that_are_not_there(redis: RedisServer, tmp_path: Path) -> None:
    """A name that is none of a key is repeated as it was given, not taken for a number."""
    pod = ServiceProcess(tmp_path, redis.url, **PATIENT).start()
    assert pod.stop() == 0
    operator = Operator(tmp_path / "var", redis.url)
    for given in ("nosuch", "0", "7", "٧", "-"):
        said = await operator.run("revoke", "signing", given, status=1)
        assert f"there is no signing key {given!r}" in said
    said = await operator.run("rotate")
    assert "Then run `openshow-auth keys rewrap`, and later `openshow-auth keys retire`." in said


async def test_what_an_operator_reads(redis: RedisServer, tmp_path: Path) -> None:
    """Before the first start, with a lost key file, and with a key that does not exist: one line
    that says what is wrong, and the exit status 1; `test` says that all is well when it is."""
    operator = Operator(tmp_path / "var", redis.url)
    said = await operator.run("status", status=1)
    assert "is not set up: run `openshow-auth migrate`" in said
    assert "name another place by SERVICE_DATA_DIR" in said
    pod = ServiceProcess(tmp_path, redis.url, **PATIENT).start()
    assert pod.stop() == 0
    printed = await operator.run("test")
    assert re.search(r"wraps in \d+ ms and unwraps in \d+ ms\.", printed)
    assert "It refuses a key that was wrapped for something else." in printed
    assert "It opens all keys of this database: epochs 1." in printed
    printed = await operator.run("retire", "1", status=1)
    assert "epoch 1 is in use: begin another with `openshow-auth keys rotate`" in printed
    assert len(printed.splitlines()) == 1
    (tmp_path / "var/local.keys").unlink()
    assert "is missing, and the data keys open with it only" in await operator.run(
        "rotate", status=1
    )


async def test_top_key_is_turned_over_and_moved(
    redis: RedisServer, tmp_path: Path, bao: Bao, vault_rig: VaultRig
) -> None:
    """The run-books: a new line in the key file and the old one gone, then the file itself gone for
    Vault; nobody notices. `vault_rig` has made the key."""
    data_dir = tmp_path / "var"
    vault = {
        "SERVICE_KMS": "vault",
        "SERVICE_KMS_VAULT_KEY": "first",
        "VAULT_ADDR": bao.address,
        "VAULT_TOKEN": ROOT_TOKEN,
    }
    operator, mover = Operator(data_dir, redis.url), Operator(data_dir, redis.url, **vault)
    first = ServiceProcess(tmp_path, redis.url, **PATIENT).start()
    async with httpx.AsyncClient(base_url=first.url, timeout=30) as http:
        holder = await (await new_holder(http)).enrol()
    file = data_dir / "local.keys"
    title, old = file.read_text().splitlines()
    file.write_text(f"{title}\n{old}\n{_new_line()}\n")
    assert "Data keys wrapped anew by the key file" in await operator.run("rewrap")
    file.write_text(file.read_text().replace(old + "\n", ""))
    assert "It opens all keys of this database" in await operator.run("test")
    assert first.stop() == 0

    (tmp_path / "second").mkdir()
    second = first.beside(tmp_path / "second", **vault).start()  # local wraps, both open
    assert "by the Vault key transit/first: 1" in await mover.run("rewrap")
    file.unlink()
    assert re.search(r"^1 +seals +\d+ \w+ +vault", await mover.run("status"), re.MULTILINE)
    assert second.stop() == 0
    second.start()
    async with httpx.AsyncClient(base_url=second.url, timeout=30) as http:
        let_steps_pass(redis)
        challenged = await holder.password(http)
        challenge = challenged.json()["challengeId"]
        assert (await holder.answer(challenge, holder.phone.code(), http)).status_code == 200
    assert second.stop() == 0


def _new_line() -> str:
    """As the run-book makes it."""
    line = 'echo "$(openssl rand -hex 4) $(openssl rand -base64 32)"'
    return subprocess.run(
        ["sh", "-c", line], check=True, capture_output=True, text=True
    ).stdout.strip()
