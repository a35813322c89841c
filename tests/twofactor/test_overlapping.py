"""Changes of one user row that overlap, and processes that stall or die in the middle of one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tools.testbed.redis_server import RedisServer

from service.twofactor import management
from tests.support.looking import events
from tests.twofactor.pods import Killed, Pods, Somebody, finished


class Held:
    """A call that waits until it is let go."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self._call = call
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, *arguments: Any) -> Any:
        self.reached.set()
        await self.go.wait()
        return await self._call(*arguments)


async def renewal_about_to_publish(
    pods: Pods, ann: Somebody, monkeypatch: pytest.MonkeyPatch
) -> tuple["asyncio.Task[Any]", Held]:
    """The first pod has renewed ann's codes and told nobody; the other has seen that row."""
    here, there = pods
    publish = management.publish
    held = Held(publish)
    monkeypatch.setattr(management, "publish", held)
    slow = asyncio.create_task(here.renew(ann, pods.code(ann)))
    await held.reached.wait()
    monkeypatch.setattr(management, "publish", publish)
    assert await there.shows(ann) == (True, 10)
    return slow, held


async def test_a_late_word_does_not_hide_a_killed_change(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publishes its version after B has written a newer row and was killed."""
    _, there = pods
    ann = await pods.enrolled()
    slow, held = await renewal_about_to_publish(pods, ann, monkeypatch)

    async def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(management, "publish", die)
        assert not await finished(there.disable(ann, pods.code(ann, 1)))
    held.go.set()
    await slow
    assert pods.truth(ann) == (False, 0)
    assert await pods.agree(ann)
    pods.watch.advance(2)
    await there.begin(ann)
    await there.verify(ann, pods.code(ann))
    assert await pods.agree(ann)


async def test_a_late_word_does_not_bring_an_old_row_back(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publishes version 2 after B has answered for 3, while C is about to write 4."""
    here, there = pods
    ann = await pods.enrolled()
    slow, held = await renewal_about_to_publish(pods, ann, monkeypatch)
    await there.disable(ann, pods.code(ann, 1))
    pods.watch.advance(2)
    await here.begin(ann)
    factors = here.services.enrolments._factors
    enabling = Held(factors.enable)
    monkeypatch.setattr(factors, "enable", enabling)
    verifying = asyncio.create_task(here.verify(ann, pods.code(ann)))
    await enabling.reached.wait()
    held.go.set()
    await slow
    assert pods.truth(ann) == (False, 0)
    assert await pods.agree(ann)
    enabling.go.set()
    await verifying
    assert await pods.agree(ann)
    assert pods.truth(ann) == (True, 10)


async def test_an_enrolment_replaced_while_it_is_turned_on(
    pods: Pods, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on, and told of once, though another pending one has taken its place meanwhile."""
    here, there = pods
    ann = await pods.sign_up()
    await here.begin(ann)
    factors = here.services.enrolments._factors
    enabling = Held(factors.enable)
    monkeypatch.setattr(factors, "enable", enabling)
    code = pods.code(ann)
    verifying = [asyncio.create_task(here.verify(ann, code)) for _ in range(2)]
    await enabling.reached.wait()
    first = ann.phone
    await there.begin(ann)
    enabling.go.set()
    outcomes = await asyncio.gather(*verifying, return_exceptions=True)
    assert [len(codes) for codes in outcomes if isinstance(codes, list)].count(10) >= 1
    assert await pods.agree(ann)
    types = [row["type"] for row in events(keys, ann.id)]
    assert types.count("twoFA.enabled") == 1
    await there.answer(await here.challenge(ann), first.code(1, at=pods.watch()))
