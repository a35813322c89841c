"""A TOTP code is good for one thing, once, whatever door and process it is shown to."""

import asyncio

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import code_of

from service.errors import ChallengeFailed, InvalidCode
from tests.support.two_factor import Holder
from tests.twofactor.pods import Pods

INVALID = (401, "invalid_code")
WRONG = (400, "invalid_code")
LIMITED = (429, "rate_limited")


async def test_twenty_racing_challenges(bob: Holder, elsewhere: httpx.AsyncClient) -> None:
    """One code, twenty challenges, two processes: one session."""
    code = bob.phone.code(1)
    challenges = [await bob.challenge() for _ in range(20)]
    answers = await asyncio.gather(
        *(
            bob.answer(challenge, code, client)
            for challenge, client in zip(challenges, [bob.client, elsewhere] * 10, strict=True)
        )
    )
    codes = [code_of(answer) for answer in answers]
    assert codes.count((200, "")) == 1
    assert set(codes) <= {(200, ""), INVALID, LIMITED}


async def test_racing_over_all_doors(bob: Holder, elsewhere: httpx.AsyncClient) -> None:
    """Login, disable and renewal with one code at once: one of them gets what it asks for."""
    code = bob.phone.code(1)
    challenges = [await bob.challenge() for _ in range(3)]
    answers = await asyncio.gather(
        *(bob.answer(challenge, code, elsewhere) for challenge in challenges),
        bob.disable(code), bob.disable(code, elsewhere),
        bob.renew(code), bob.renew(code, elsewhere),
    )  # fmt: skip
    won = [answer for answer in answers if answer.status_code in (200, 204)]
    assert len(won) == 1, [code_of(answer) for answer in answers]


async def test_the_confirming_code_is_spent(bob: Holder, elsewhere: httpx.AsyncClient) -> None:
    """It opens no session, turns nothing off, renews nothing, at neither process."""
    code = bob.phone.code(0)
    assert code_of(await bob.answer(await bob.challenge(), code, elsewhere)) == INVALID
    for client in (bob.client, elsewhere):
        assert code_of(await bob.disable(code, client)) == WRONG
        assert code_of(await bob.renew(code, client)) == WRONG
    assert await bob.two_fa() == (True, 10)


async def test_only_newer_steps(pods: Pods) -> None:
    """After step t neither t nor t-1 counts, at any pod; t+1 does. Two steps away never do."""
    here, there = pods
    ann = await pods.enrolled()

    async def accepted(ahead: int, pod: object = there) -> bool:
        try:
            await there.answer(await here.challenge(ann), pods.code(ann, ahead))
        except ChallengeFailed:
            return False
        return True

    pods.watch.advance(3)
    assert not await accepted(-2)
    assert not await accepted(2)
    assert await accepted(0)
    assert not await accepted(0)
    assert not await accepted(-1)
    assert await accepted(1)
    assert not await accepted(1)
    pods.watch.advance(1)
    assert not await accepted(0), "accepted as the next one before"
    pods.watch.advance(1)
    assert not await accepted(-1)
    assert await accepted(0)


async def test_only_newer_steps_at_the_other_doors(pods: Pods) -> None:
    """Renewing and disabling keep to the same watermark as logging in."""
    here, there = pods
    ann = await pods.enrolled()
    pods.watch.advance(3)
    await there.answer(await here.challenge(ann), pods.code(ann))
    for ahead in (0, -1, 2):
        for pod in pods:
            with pytest.raises(InvalidCode):
                await pod.renew(ann, pods.code(ann, ahead))
    assert await here.renew(ann, pods.code(ann, 1))
    pods.watch.advance(1)
    for ahead in (0, -1):
        with pytest.raises(InvalidCode):
            await there.disable(ann, pods.code(ann, ahead))
    await there.disable(ann, pods.code(ann, 1))
    assert pods.truth(ann) == (False, 0)


async def test_the_clock_may_be_a_step_off_at_enrolment(pods: Pods) -> None:
    """A phone that is a step behind or ahead can be enrolled, one two steps off cannot; and the
    step that confirmed is the one that is spent."""
    here, there = pods
    for ahead in (-2, 2):
        ann = await pods.sign_up()
        await here.begin(ann)
        with pytest.raises(InvalidCode):
            await there.verify(ann, pods.code(ann, ahead))
    for ahead in (-1, 0, 1):
        ann = await pods.sign_up()
        await here.begin(ann)
        assert len(await there.verify(ann, pods.code(ann, ahead))) == 10
        with pytest.raises(ChallengeFailed):
            await here.answer(await here.challenge(ann), pods.code(ann, ahead))
        if ahead < 1:
            await here.answer(await there.challenge(ann), pods.code(ann, ahead + 1))


async def test_watermarks_are_of_the_secret(pods: Pods, keys: RedisServer) -> None:
    """A new enrolment begins afresh within the same step, and the old secret is dead."""
    here, there = pods
    ann = await pods.enrolled()
    await here.disable(ann, pods.code(ann, 1))
    old = ann.phone
    await here.begin(ann)
    await there.verify(ann, pods.code(ann))
    with pytest.raises(ChallengeFailed):
        await here.answer(await here.challenge(ann), old.code(1, at=pods.watch()))
    await there.answer(await here.challenge(ann), pods.code(ann, 1))
