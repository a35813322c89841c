"""The app with operators' HTTP in this process, asked by whichever socket a test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer

from service.app import create_app
from service.settings import Secret, Settings
from service.settings.binds import Bind
from service.web.listeners import LISTENER
from tests.support.user_stores import SqliteStore

UNIX = Bind(path="/never/bound")
TCP = Bind(host="127.0.0.1", port=1)


class AdminApp:
    """The app, running."""

    def __init__(self, app: Any, store: SqliteStore) -> None:
        self._app = app
        self.store = store

    def client(self, listener: str | None, key: str | None = None) -> httpx.AsyncClient:
        """A client of one of its sockets; `None`: of the public one."""

        async def asked(scope: Any, receive: Any, send: Any) -> None:
            state = {} if listener is None else {LISTENER: listener}
            await self._app(scope | {"state": state}, receive, send)

        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(asked, client=("192.0.2.7", 1))
        return httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers)


PATIENT: dict[str, Any] = {
    "redis_connect_timeout_ms": 20_000,
    "redis_reply_timeout_ms": 20_000,
    "database_timeout_ms": 20_000,
}
"""For an app whose stores nobody takes away, as in `service_process.py`."""


@asynccontextmanager
async def running_app(
    keys: RedisServer, directory: Path, bind: Bind, **settings: Any
) -> AsyncIterator[AdminApp]:
    """The app on this Redis and a SQLite file in the directory."""
    store = SqliteStore(directory)
    app = create_app(
        Settings(
            env="test",
            bcrypt_cost=4,
            data_dir=directory,
            redis_url=keys.url_of(SERVICE),
            database_url=Secret(store.url),
            admin_bind=bind,
            log_level="error",
            **PATIENT | settings,
        )
    )
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    told: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, to_app.get, told.put))  # type: ignore[arg-type]
    await to_app.put({"type": "lifespan.startup"})
    assert (await told.get())["type"] == "lifespan.startup.complete"
    try:
        yield AdminApp(app, store)
    finally:
        await to_app.put({"type": "lifespan.shutdown"})
        await task
