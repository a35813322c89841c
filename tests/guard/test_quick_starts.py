"""The whole apps of docs/examples, each with its framework: they do what the guard's page says."""

import importlib
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tools.testbed.issuer import Issuer
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.waiting import wait_until

from tests.guard.feed_writer import USER, FeedWriter, new_token
from tests.guard.guards import ISSUER
from tests.support.looking import ON_VALKEY

with warnings.catch_warnings():  # Starlette would rather have the next httpx
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

EXAMPLES = REPOSITORY / "docs/examples"
KINDS = {
    "orders_fastapi": "asgi", "orders_litestar": "asgi", "orders_starlette": "asgi",
    "orders_asgi": "asgi", "orders_flask": "wsgi", "orders_django": "process",
}  # fmt: skip


@pytest.fixture
def environment(
    issuer: Issuer, keys: RedisServer, guard_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the examples are told, and where they find the guard: in its wheel."""
    for name, value in (
        ("ISSUER", ISSUER),
        ("AUDIENCE", "audience"),
        ("JWKS_URL", issuer.url),
        ("REDIS_URL", keys.url.reveal()),
    ):
        monkeypatch.setenv(f"AUTH_{name}", value)
    monkeypatch.syspath_prepend(guard_wheel)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("PYTHONPATH", f"{guard_wheel}:{EXAMPLES}")


@contextmanager
def served(name: str) -> Iterator[Any]:
    """A client of an example; Django's settings are those of a process, so it has one."""
    if KINDS[name] == "process":
        command = [sys.executable, str(Path(__file__).with_name("wsgi_process.py")), name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            port = int(process.stdout.readline())
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                yield client
            process.terminate()
        return
    sys.modules.pop(name, None)
    example = importlib.import_module(name)
    if KINDS[name] == "asgi":
        with TestClient(example.app) as client:
            yield client
    else:
        from openshow_guard.guard.verifier_thread import thread_of  # type: ignore[import-not-found]

        transport = httpx.WSGITransport(example.app)
        with httpx.Client(transport=transport, base_url="http://pod") as client:
            yield client
        thread_of(example.verifier).close()


def test_each_example_is_here() -> None:
    """None is left untried."""
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(KINDS)


@ON_VALKEY
@pytest.mark.parametrize("name", KINDS)
def test_an_example(name: str, environment: None, feed: FeedWriter) -> None:
    """Orders for whoever has a session, until it ends; payments for a second factor of late."""
    session_id, now = os.urandom(12), int(time.time())
    ann = {"Authorization": f"Bearer {new_token(session_id=session_id)}"}
    twice = {"amr": ["pwd", "otp", "mfa"]}
    strong = {"Authorization": f"Bearer {new_token(**twice)}"}
    stale = {"Authorization": f"Bearer {new_token(**twice, auth_time=now - 700)}"}
    with served(name) as shop:
        assert shop.get("/health").status_code == 200
        assert shop.get("/orders").status_code == 401
        answer = shop.get("/orders", headers=ann)
        assert (answer.status_code, answer.json()) == (200, {"ordersOf": USER.hex()})
        for login in (ann, stale):
            answer = shop.post("/payments", headers=login)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "insufficient_user_authentication"
        answer = shop.post("/payments", headers=strong)
        assert (answer.status_code, answer.json()) == (200, {"paidBy": USER.hex()})
        feed.end(USER, session_id)
        wait_until(lambda: shop.get("/orders", headers=ann).status_code == 401)
        assert shop.get("/orders", headers=strong).status_code == 200
        if name == "orders_starlette":
            protocols = ["orders", "openshow.bearer." + strong["Authorization"].split()[1]]
            with shop.websocket_connect("/news", subprotocols=protocols) as socket:
                assert socket.accepted_subprotocol == "orders"
                assert socket.receive_json() == {"newsOf": USER.hex()}
