"""The service as its users run it: a process of its own, asked over HTTP."""

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, Self
from weakref import WeakSet

import httpx
import jwt

from service.settings import Secret
from tools.testbed.forked import ForkedProgram, Running, can_fork, run_command
from tools.testbed.migrated import lay
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.server_process import ServerProcess

PASSWORD = "correct horse battery"
PATIENT = {
    "SERVICE_REDIS_CONNECT_TIMEOUT_MS": "20000",
    "SERVICE_REDIS_REPLY_TIMEOUT_MS": "20000",
    "SERVICE_DATABASE_TIMEOUT_MS": "20000",
}
"""Settings of a service whose stores nobody takes away. How long it waits for them is not what is
being proven there, and on a machine that many share they may stand still for a second."""


class HttpProcess(ServerProcess):
    """A Python program that serves HTTP on loopback, and prints where it does."""

    _alive: tuple[str, Container[int]] = "/", range(600)
    """What it is asked to see whether it serves, and what it may answer."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """`log` is for all that it prints; `environment` goes before ours without SERVICE_*."""
        self.arguments = arguments
        self.url = ""
        super().__init__(log.parent, log.name)
        ours = {name: value for name, value in os.environ.items() if name[:8] != "SERVICE_"}
        self._environment = {**ours, **environment}

    def start(self, patience: float = 90) -> Self:
        """Start it and wait until it says where it listens and answers there.

        `patience` is in seconds: several at once on a busy machine take some.
        """
        return super().start(patience)

    def refusal(self) -> tuple[int, str]:
        """Start what cannot start. Its exit code, and all that it has said."""
        code = self._launch().wait(timeout=90)
        self.process = None
        return code, self.output()

    def _popen(self) -> Running:
        with self._open_log() as log:
            return self._launched(log)

    def _launched(self, log: IO[bytes]) -> Running:
        return subprocess.Popen(
            [sys.executable, *self.arguments],
            cwd=REPOSITORY,
            env=self._environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def _open_log(self) -> IO[bytes]:
        """Open what a new process writes to."""
        return self._log.open("wb")

    def _answers(self) -> bool:
        found = re.search(r"(?:serves|running) on (http://127\.0\.0\.1:\d+)", self.output())
        if found is None:
            return False
        self.url, (path, statuses) = found[1], self._alive
        try:
            return httpx.get(self.url + path).status_code in statuses
        except httpx.TransportError:
            return False


class ServiceProcess(HttpProcess):
    """`python -m service serve` on a free port, with a data directory of its own."""

    _alive = "/health/live", (200,)
    _made: ClassVar[WeakSet["ServiceProcess"]] = WeakSet()
    usual: ClassVar[Mapping[str, str]] = {}
    """Settings of all that are made, unless they are given others."""

    def __init__(
        self,
        directory: Path,
        redis_url: Secret,
        program: Sequence[str] = ("-m", "service"),
        **settings: str | None,
    ) -> None:
        """`program` is what Python runs, where it is not the service as it is.

        Of the `settings` those that are `None` are left out, also where they are usual.
        """
        given: dict[str, str | None] = {
            "SERVICE_ENV": "test",
            "SERVICE_BCRYPT_COST": "4",
            "SERVICE_RATE_LIMIT": "off",
            "SERVICE_PORT": "0",
            "SERVICE_DATA_DIR": str(directory / "var"),
            "SERVICE_REDIS_URL": redis_url.reveal(),
            **self.usual,
            **settings,
        }
        environment = {name: value for name, value in given.items() if value is not None}
        super().__init__((*program, "serve"), directory / "service.log", environment)
        self.redis_url = redis_url
        self._is_itself = tuple(program) == ("-m", "service")
        self._started = False
        self._made.add(self)

    def _launched(self, log: IO[bytes]) -> Running:
        if self._is_itself and not self._started:
            self._lay_user_store()
        self._started = True
        if self._is_itself and can_fork(self._environment):
            return ForkedProgram("service", ["serve"], REPOSITORY, self._environment, self._log)
        return super()._launched(log)

    def _lay_user_store(self) -> None:
        """Spare it the migration, a third of a start. `tests/processes` begins with nothing."""
        given = self._environment.get
        if (data := given("SERVICE_DATA_DIR")) and not given("SERVICE_DATABASE_URL"):
            lay(Path(data, "service.db"))

    @classmethod
    def running(cls) -> list["ServiceProcess"]:
        """List all that this process has started and that have not ended."""
        return [each for each in cls._made if each.process and each.process.poll() is None]

    def command(self, *arguments: str) -> str:
        """Run a command with the settings of this process, and return what it prints."""
        done = run_command(arguments, self._environment)
        done.check_returncode()
        return done.stdout

    def beside(self, directory: Path, **settings: str) -> "ServiceProcess":
        """Make another process on the same Redis and the same data, which logs to `directory`."""
        url = Secret(self._environment["SERVICE_REDIS_URL"])
        shared = "SERVICE_DATA_DIR", "SERVICE_DATABASE_URL", *PATIENT
        data = {name: self._environment.get(name, "") for name in shared}
        return ServiceProcess(directory, url, **data | settings)


class Person:
    """Somebody with an account, and the tokens of one session."""

    def __init__(self, client: httpx.AsyncClient, email: str, tokens: dict[str, Any]) -> None:
        self.client = client
        self.email = email
        self.tokens = tokens

    @property
    def bearer(self) -> dict[str, str]:
        """The header that proves who asks."""
        return {"Authorization": f"Bearer {self.tokens['accessToken']}"}

    @property
    def session_id(self) -> str:
        return str(self.tokens["sessionId"])

    @property
    def user_id(self) -> bytes:
        """From the `sub` of the access token, not verified."""
        return bytes.fromhex(claims_of(self.tokens["accessToken"])["sub"])

    def holding(self, tokens: dict[str, Any]) -> "Person":
        """Make the same person hold these tokens, such as those that a refresh has given."""
        return Person(self.client, self.email, tokens)

    async def me(self) -> httpx.Response:
        return await self.client.get("/auth/me", headers=self.bearer)

    async def refresh(self, token: str | None = None) -> httpx.Response:
        token = token or self.tokens["refreshToken"]
        return await self.client.post("/auth/refresh", json={"refreshToken": token})

    async def log_out(self, token: str | None = None) -> httpx.Response:
        body = {"refreshToken": token or self.tokens["refreshToken"]}
        return await self.client.post("/auth/logout", json=body, headers=self.bearer)

    async def log_out_everywhere(self, **body: object) -> httpx.Response:
        return await self.client.post("/auth/logout/all", json=body, headers=self.bearer)

    async def sessions(self) -> httpx.Response:
        return await self.client.get("/auth/sessions", headers=self.bearer)

    async def end(self, session_id: str) -> httpx.Response:
        return await self.client.delete(f"/auth/sessions/{session_id}", headers=self.bearer)

    async def log_in(self, password: str = PASSWORD) -> "Person":
        """Open another session of the same person."""
        body = {"email": self.email, "password": password}
        answer = await self.client.post("/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return Person(self.client, self.email, answer.json())


async def sign_up(client: httpx.AsyncClient) -> Person:
    """Sign up a new person."""
    email = f"{secrets.token_hex(8)}@example.com"
    answer = await client.post("/auth/signup", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return Person(client, email, answer.json())


def claims_of(access_token: str) -> dict[str, Any]:
    """Read what an access token says. Its signature is not looked at."""
    claims: dict[str, Any] = jwt.decode(access_token, options={"verify_signature": False})
    return claims


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Read status and error code; the code of a success is empty."""
    body = answer.json() if answer.content else {}
    return answer.status_code, body.get("error", {}).get("code", "")
