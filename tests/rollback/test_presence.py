"""The user store names the processes that run, and forgets those that do not."""

import asyncio

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.waiting import eventually

from service.database.tables import leases
from service.rollback import presence
from service.rollback.presence import LIFE, Presence

A, B = b"a" * 16, b"b" * 16


async def age(engine: AsyncEngine, seconds: float) -> None:
    """Let so much time pass for all that was said."""
    async with engine.begin() as connection:
        passed = {"until": leases.c.until - round(seconds * 1000)}
        await connection.execute(update(leases).values(passed))


async def names(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set(await connection.scalars(select(leases.c.name)))


async def test_who_runs(engine: AsyncEngine) -> None:
    """Until it says that it ends, or half a minute after it was last heard of; nobody waits for
    itself, and rows do not pile up."""
    one, other = Presence(engine, A), Presence(engine, B)
    await one.end()
    await one.start()
    assert await one.others() == {}
    (left,) = (await other.others()).values()
    assert 0 < left <= LIFE / 1000
    await age(engine, 20)
    assert set(await other.others()) == {A}
    await one.say()
    await age(engine, 20)
    assert set(await other.others()) == {A}
    await age(engine, 11)
    assert await other.others() == {}
    await other.start()
    assert await names(engine) == {f"pod:{A.hex()}", f"pod:{B.hex()}"}
    await age(engine, LIFE / 1000)
    await other.say()
    assert await names(engine) == {f"pod:{B.hex()}"}
    await other.end()
    assert await names(engine) == set()


async def test_a_clock_that_was_put_back(engine: AsyncEngine) -> None:
    """What holds for longer than anything is said for was said by another clock."""
    await Presence(engine, A).say()
    await age(engine, -3600)
    assert await Presence(engine, B).others() == {}


async def test_again_and_again(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once where the first time has failed, whatever has failed."""
    said = Presence(engine, A)
    monkeypatch.setattr(presence, "_AGAIN", 0.0)
    task = asyncio.create_task(said.run())
    try:

        async def is_heard() -> bool:
            return bool(await Presence(engine, B).others())

        await eventually(is_heard)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
