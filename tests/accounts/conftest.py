"""A pool of hashing threads, and cheap passwords."""

from collections.abc import AsyncIterator

import pytest

from service.accounts.hashing import HashingPool
from service.accounts.passwords import Passwords
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse

CHEAPEST = 4


@pytest.fixture
async def pool() -> AsyncIterator[HashingPool]:
    pool = HashingPool(workers=2)
    yield pool
    await pool.close()


@pytest.fixture
def passwords(pool: HashingPool) -> Passwords:
    return Passwords(pool, {1: b"pepper"}, CHEAPEST)
