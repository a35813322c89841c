"""What a call costs the process, in calls of Python functions: the same on a busy machine."""

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import litestar
import pytest
import redis
from tools.testbed.redis_server import RedisServer

import service
from tests.support.looking import ON_VALKEY
from tests.web.admin_app import UNIX, running_app

pytestmark = [
    ON_VALKEY,
    # Litestar says it of every handler with a `data`, once a process.
    pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning"),
]

PASSWORD = "correct horse battery"
_TRIES = 7
"""The least of so many is what a call takes, without what goes on in the background."""

_OURS, _LITESTAR, _REDIS = (
    str(Path(module.__file__ or "").parent) for module in (service, litestar, redis)
)

MOST = {"logout": 93, "refresh": 166, "me": 84, "enable": 142, "login": 418}
"""Calls and resumptions of functions of ours, at the most: an eighth above what there are."""

MOST_OF_LITESTAR = {"logout": 15, "refresh": 12, "me": 9, "enable": 11, "login": 130}
"""The same of Litestar's; through its router they take 60 more."""

MOST_RANDOM = {"logout": 0, "refresh": 3, "me": 0, "enable": 4}
"""System calls for random numbers."""


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count what functions of ours and of libraries are called, or go on, in this thread."""
    counted: Counter[str] = Counter()

    def seen(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function is os.urandom:
            counted["random"] += 1
        elif event == "call":
            file = frame.f_code.co_filename
            if file.startswith(_OURS):
                counted["ours"] += 1
            elif file.startswith(_LITESTAR):
                counted["litestar"] += 1
            elif file.startswith(_REDIS):
                counted["redis"] += 1

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        yield counted
    finally:
        sys.setprofile(before)


class Ann:
    """A person with an account, and her calls."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.account = {"email": "ann@example.org", "password": PASSWORD}
        self.tokens: dict[str, str] = {}

    async def post(self, path: str, **body: str) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {self.tokens.get('accessToken', '')}"}
        return await self.http.post(path, json=body, headers=bearer)

    async def login(self) -> httpx.Response:
        return await self.post("/auth/login", **self.account)

    async def refresh(self) -> httpx.Response:
        return await self.post("/auth/refresh", refreshToken=self.tokens["refreshToken"])

    async def logout(self) -> httpx.Response:
        return await self.post("/auth/logout", refreshToken=self.tokens["refreshToken"])

    async def enable(self) -> httpx.Response:
        return await self.post("/auth/2fa/enable")

    async def me(self) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {self.tokens['accessToken']}"}
        return await self.http.get("/auth/me", headers=bearer)


@pytest.fixture
async def ann(keys: RedisServer, tmp_path: Path) -> AsyncIterator[Ann]:
    async with running_app(keys, tmp_path, UNIX) as app, app.client(None) as http:
        ann = Ann(http)
        ann.tokens = (await ann.post("/auth/signup", **ann.account)).json()
        yield ann


async def least(ann: Ann, call: Callable[[], Awaitable[httpx.Response]]) -> Counter[str]:
    """The least that a call takes, each on a session of its own."""
    found: list[Counter[str]] = []
    for _ in range(_TRIES):
        ann.tokens = (await ann.login()).json()
        with counting() as counted:
            answer = await call()
        assert answer.status_code in (200, 204), answer.text
        found.append(counted)
    return min(found, key=lambda counted: counted["ours"])


async def test_functions_that_are_called(ann: Ann) -> None:
    """Whoever adds a layer to a busy call sees it here, and raises a number or takes it out."""
    calls = {name: await least(ann, getattr(ann, name)) for name in MOST}
    assert _above(MOST, calls, "ours") == {}
    assert _above(MOST_OF_LITESTAR, calls, "litestar") == {}
    assert _above(MOST_RANDOM, calls, "random") == {}
    # Once it has connected, redis-py has no part in a call: its streams take four for each reply.
    assert {name: counted["redis"] for name, counted in calls.items() if counted["redis"]} == {}


def _above(most: dict[str, int], calls: dict[str, Counter[str]], whose: str) -> dict[str, int]:
    return {name: calls[name][whose] for name in most if calls[name][whose] > most[name]}
