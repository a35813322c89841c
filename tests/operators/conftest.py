"""Two pods in this process, and operators who work on the same stores beside them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tools.testbed.redis_server import RedisServer

from service.clock import system_clock
from service.composition.operators import create_operations
from service.keyring.keys import KeysInUse
from service.keyring.kms.local import LocalKeyFile
from service.keyring.store import KeyStore
from service.operators.operations import Operations
from service.operators.request import OperatorRequest
from service.sessions.origin import RequestOrigin
from service.settings import Secret, Settings
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.support.user_stores import UserStore
from tests.twofactor.pods import Fuse, FusedEngine, FusedLink, Pods, Watch, running

REQUEST = OperatorRequest("cli", "a call from the person", RequestOrigin(None, "", "request-2"))


class Desk:
    """An operator's command, as far as its use cases go; it can be killed at any step."""

    def __init__(self, does: Operations, fuse: Fuse) -> None:
        self.does = does
        self.fuse = fuse


@pytest.fixture
async def pods(keys: RedisServer, user_store: UserStore, tmp_path: Path) -> AsyncIterator[Pods]:
    """Two pods in this process."""
    watch = Watch()
    async with running(watch, keys.url, user_store, tmp_path) as pods:
        yield pods


@pytest.fixture
async def desk(
    pods: Pods, keys: RedisServer, user_store: UserStore, tmp_path: Path
) -> AsyncIterator[Desk]:
    """An operator beside the pods."""
    settings = Settings(
        env="test", redis_url=keys.url, database_url=Secret(user_store.url), issuer="https://a.test"
    )
    fuse, engine = Fuse(), user_store.open()
    link = FusedLink(keys.url, fuse)
    opened = await KeyStore(engine).load(LocalKeyFile.at(tmp_path, None), system_clock)
    fused: Any = FusedEngine(engine, fuse)
    yield Desk(create_operations(settings, link, fused, KeysInUse(opened)), fuse)
    await link.aclose()
    await engine.dispose()
