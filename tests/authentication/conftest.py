"""People with and without a second factor."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tools.testbed.redis_server import RedisServer

from tests.support.script_clock import ScriptClock
from tests.support.two_factor import Holder, new_holder
from tests.twofactor.conftest import pods, sqlite_threads_end  # noqa: F401  one is autouse


@pytest.fixture
async def ann(http: httpx.AsyncClient) -> Holder:
    """Somebody who has just signed up."""
    return await new_holder(http)


@pytest.fixture
async def bob(http: httpx.AsyncClient) -> Holder:
    """Somebody else, with 2FA on; a code of the next step is good."""
    return await (await new_holder(http)).enrol()


@pytest.fixture
async def clock(keys: RedisServer) -> AsyncIterator[ScriptClock]:
    """A client whose scripts see the time of the test's."""
    clock = ScriptClock(keys)
    yield clock
    await clock.aclose()
