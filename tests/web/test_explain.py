"""`openshow-auth users explain`: each reason for which somebody does not get in, by one command."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD

from service.accounts.user_rows import User
from service.authentication.account_limits import LimitInForce
from service.cli.doctor import redis_server
from service.cli.explain_command import metrics
from service.events.event import AuditEvent, Position
from service.operators.explaining import reasons_of
from service.redis.probe import Written, probe
from service.settings import Settings
from tests.operators.commands import command
from tests.support.looking import ON_VALKEY
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.web.admin_app import TCP, AdminApp, running_app

pytestmark = [
    ON_VALKEY,
    pytest.mark.usefixtures("commands_beside"),
    pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning"),
]
ADA = "ada@example.com"
SHED = b"""openshow_logins_total{outcome="success"} 5.0
openshow_logins_total{outcome="service_unavailable"} 3.0
openshow_hashes_waiting 2.0
"""


@pytest.fixture
async def app(
    keys: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AdminApp]:
    """The service, in which Ada has an account. Nobody serves on the port of the settings."""
    monkeypatch.setenv("SERVICE_PORT", "1")
    async with running_app(keys, tmp_path, TCP) as app:
        body = {"email": ADA, "password": PASSWORD}
        (await app.client(None).post("/auth/signup", json=body)).raise_for_status()
        yield app


async def reasons(user: str = ADA) -> set[str]:
    """What one command says, in a word each."""
    told = await command("users", "explain", user, "--json")
    assert told.code == 0, told.err
    assert all(each["message"] and each["advice"] for each in told.document["reasons"])
    return {each["reason"] for each in told.document["reasons"]}


async def test_the_account(app: AdminApp) -> None:
    """Sound; unknown; a wrong password; as many as may be; and disabled."""
    assert await reasons() == set()
    sound = await command("users", "explain", ADA)
    assert sound.out == "Nothing here keeps this person from logging in.\n"
    assert await reasons("nobody@example.com") == {"no_account"}
    wrong = {"email": ADA, "password": "not it"}
    assert (await app.client(None).post("/auth/login", json=wrong)).status_code == 401
    assert await reasons() == {"wrong_password"}
    for status in [401] * 9 + [429]:
        assert (await app.client(None).post("/auth/login", json=wrong)).status_code == status
    assert await reasons() == {"wrong_password", "password_limit"}
    done = await command("users", "disable", ADA, "--reason", "for the test", "--yes")
    assert done.code == 0
    assert "disabled" in await reasons()


async def test_what_is_away(app: AdminApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis, the user store, the key service; and a clock that is off."""
    with monkeypatch.context() as patch:
        patch.setenv("SERVICE_REDIS_URL", "redis://127.0.0.1:1/0")
        assert await reasons() == {"redis"}
    with monkeypatch.context() as patch:
        patch.setenv("SERVICE_DATABASE_URL", "postgresql://127.0.0.1:1/none")
        assert await reasons() == {"users"}
    with monkeypatch.context() as patch:
        patch.setattr(redis_server, "probe", partial(_probed, timedelta(minutes=5)))
        assert await reasons() == {"clock"}
    (tmp_path / "local.keys").rename(tmp_path / "elsewhere")
    assert await reasons() == {"keys"}


async def _probed(ahead: timedelta, *arguments: Any) -> Written:
    written = await probe(*arguments)
    return msgspec.structs.replace(written, skew=written.skew + ahead.total_seconds())


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pod on this machine that tells what it counts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(SHED)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("SERVICE_PORT", str(server.server_port))
    yield
    server.shutdown()
    thread.join()
    server.server_close()


async def test_what_is_shed(app: AdminApp, pod: None) -> None:
    """More logins than there are processors for: the pod has counted whom it turned away."""
    assert await reasons() == {"shed"}


@pytest.mark.parametrize("said", [b"\x15\x03\x03\x00\x02\x02\x46", b"HTTP/1.1 200 OK\r\n\r\n\xff"])
async def test_somebody_else_is_there(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    """On the port of the settings, as somebody who speaks TLS alone: no pod tells. Nor is a proxy
    of the environment asked for this machine."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(said)
        writer.write(said)
        writer.close()

    asked: list[bytes] = []
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        settings = Settings(port=server.sockets[0].getsockname()[1])
        assert await asyncio.to_thread(metrics, settings) == ""
    assert asked == [said]


NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOUND: dict[str, Any] = {"email_verified_at": NOW, "two_fa_enabled": True, "recovery_codes_left": 3}
LOGIN = "user.loggedIn"


@pytest.mark.parametrize(
    ("change", "limits", "types", "reason"),
    [
        ({}, (), (), None),
        ({"email_verified_at": None}, (), (), "unverified"),
        ({"recovery_codes_left": 0}, (), (), "no_recovery_codes"),
        ({}, ("codes",), (), "code_limit"),
        ({}, ("codes_in_a_row",), (), "code_limit"),
        ({}, ("account",), (), "password_limit"),
        ({}, ("exports",), (), None),
        ({}, (), ("twoFA.challengeFailed", LOGIN), "wrong_code"),
        ({}, (), (LOGIN, "twoFA.challengeFailed", "user.passwordFailed"), None),
        ({}, (), ("user.passwordFailed",), "wrong_password"),
    ],
)  # fmt: skip
def test_what_the_account_and_its_events_say(
    redis_server: RedisServer,
    change: dict[str, Any],
    limits: tuple[str, ...],
    types: tuple[str, ...],
    reason: str | None,
) -> None:
    """What was tried before the last login keeps nobody out."""
    user = User(bytes(16), ADA, NOW, **{**SOUND, **change})
    events = [AuditEvent(Position(9 - n, 0, 1), {"type": of}) for n, of in enumerate(types)]
    found = reasons_of(
        user, [LimitInForce(each, 60) for each in limits], events, verified_only=True
    )
    assert [each.reason for each in found] == ([reason] if reason else [])
