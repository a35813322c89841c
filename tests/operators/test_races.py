"""Logins that race with the end of an account: whoever wins, nobody ends inside."""

import asyncio
import ipaddress
import random
from collections.abc import Awaitable
from typing import Any

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.service_process import PASSWORD

from service.authentication.password import LoggedIn
from service.errors import (
    AccountChanged,
    AccountDisabled,
    ChallengeFailed,
    ChallengeNotFound,
    InvalidAccessToken,
    InvalidCredentials,
    InvalidRefreshToken,
)
from service.sessions.origin import RequestOrigin
from tests.operators.conftest import REQUEST, Desk
from tests.support.looking import ON_VALKEY
from tests.twofactor.pods import Killed, Pod, Pods, Somebody, finished
from tests.twofactor.test_racing_logins import held_logins

ROUNDS = 24
"""On each store: in half of them the order is chosen, so each order comes several times."""
REFUSED = (
    AccountChanged, AccountDisabled, ChallengeFailed, ChallengeNotFound, InvalidCredentials,
)  # fmt: skip


def from_elsewhere(number: int) -> RequestOrigin:
    """A client in a network of its own, of which no limit is reached."""
    address = ipaddress.ip_address(f"10.{number // 250}.{number % 250}.1")
    return RequestOrigin(address, "a browser", "request-1")


async def log_in(pod: Pod, somebody: Somebody, number: int, password: str = PASSWORD) -> Any:
    return await pod.services.accounts.log_in(somebody.user.email, password, from_elsewhere(number))


async def later(turns: int, call: Awaitable[Any]) -> Any:
    """Await a call after so many turns of the event loop, and some threads' work."""
    for turn in range(turns):
        await (asyncio.to_thread(int) if turn % 4 == 0 else asyncio.sleep(0))
    return await call


async def race(
    pods: Pods, calls: list[Awaitable[Any]], change: Awaitable[Any], chance: random.Random
) -> list[LoggedIn]:
    """Run the change among the calls. Those that have got in.

    In half of all cases somebody is inside before it begins, or it is over before anybody comes, so
    that both are there on any machine.
    """
    order = chance.choice(("together", "together", "somebody inside", "change over"))
    inside_first, over_first = asyncio.Event(), asyncio.Event()

    async def called(call: Awaitable[Any]) -> Any:
        if order == "change over":
            await over_first.wait()
        try:
            return await later(chance.randrange(40), call)
        finally:
            inside_first.set()

    async def changed() -> Any:
        if order == "somebody inside":
            await inside_first.wait()
        try:
            return await later(chance.randrange(40), change)
        finally:
            over_first.set()

    outcomes = await asyncio.gather(changed(), *map(called, calls), return_exceptions=True)
    assert not isinstance(outcomes[0], BaseException), outcomes[0]
    inside = [outcome for outcome in outcomes[1:] if isinstance(outcome, LoggedIn)]
    errors = [outcome for outcome in outcomes[1:] if isinstance(outcome, BaseException)]
    assert all(isinstance(error, REFUSED) for error in errors), errors
    return inside


async def is_out(pod: Pod, opened: LoggedIn) -> None:
    """Neither of the tokens does anything."""
    caller = pod.services.access_tokens.verify(opened.tokens.access_token)
    with pytest.raises(InvalidAccessToken):
        await pod.services.identities.of(caller)
    with pytest.raises(InvalidRefreshToken):
        await pod.services.sessions.refresh(opened.tokens.refresh_token, CLIENT)


async def die(*_: Any, **named: Any) -> None:
    raise Killed


@ON_VALKEY
@pytest.mark.parametrize("killed", [False, True])
async def test_logins_under_way(
    pods: Pods, desk: Desk, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """The password was right before it was disabled: no session, but the answer of a later login.

    Also where the command was killed once the row was written.
    """
    ann = await pods.sign_up()
    user = await desk.does.lookup.find(ann.id.hex())
    logins, gate = await held_logins(pods, ann, monkeypatch)
    if killed:
        monkeypatch.setattr(desk.does.accounts._cut_offs, "end_all", die)
    assert await finished(desk.does.accounts.disable(user, REQUEST)) is not killed
    gate.open.set()
    outcomes = await asyncio.gather(*logins, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [AccountDisabled] * 10


@ON_VALKEY
async def test_login_against_disable(pods: Pods, desk: Desk) -> None:
    """Often, from two pods: each login is refused, or its session has ended."""
    chance, seen = random.Random(14), set()
    ann = await pods.sign_up()
    for _ in range(ROUNDS):
        user = await desk.does.lookup.find(ann.id.hex())
        logins = [pod.password(ann) for pod in pods for _ in range(2)]
        inside = await race(pods, logins, desk.does.accounts.disable(user, REQUEST), chance)
        seen.add(len(inside))
        for pod in pods:
            for opened in inside:
                await is_out(pod, opened)
            with pytest.raises(AccountDisabled):
                await pod.password(ann)
        user = await desk.does.lookup.find(ann.id.hex())
        assert not await desk.does.sessions.of(user)
        assert await desk.does.accounts.enable(user, REQUEST)
        for pod in pods:
            for opened in inside:
                await is_out(pod, opened)
    assert len(seen) > 1, "each round went the same way: that is no race"


@ON_VALKEY
async def test_login_against_delete(pods: Pods, desk: Desk) -> None:
    """As often: nobody is inside an account that is not there."""
    chance, seen = random.Random(15), set()
    for number in range(ROUNDS):
        ann = await pods.sign_up()
        logins = [log_in(pod, ann, number) for pod in pods for _ in range(2)]
        inside = await race(pods, logins, desk.does.accounts.delete(ann.id, REQUEST), chance)
        seen.add(len(inside))
        for pod in pods:
            for opened in inside:
                await is_out(pod, opened)
            with pytest.raises(InvalidCredentials):
                await log_in(pod, ann, number)
            with pytest.raises(InvalidAccessToken):
                await pod.shows(ann)
    assert len(seen) > 1, "each round went the same way: that is no race"


@ON_VALKEY
async def test_second_step_against_disable_and_delete(pods: Pods, desk: Desk) -> None:
    """The code of a challenge that was issued before is no way in, either."""
    here, there = pods
    chance = random.Random(16)
    for turn in range(20):
        ann = await pods.enrolled()
        challenges = [await pod.challenge(ann) for pod in pods]
        answers = [
            pod.answer(challenge, code)
            for pod, challenge, code in zip(pods, challenges, ann.recovery_codes, strict=False)
        ]
        if turn % 2:
            change: Awaitable[Any] = desk.does.accounts.delete(ann.id, REQUEST)
        else:
            user = await desk.does.lookup.find(ann.id.hex())
            change = desk.does.accounts.disable(user, REQUEST)
        for opened in await race(pods, answers, change, chance):
            await is_out(here, opened)
            await is_out(there, opened)


@ON_VALKEY
async def test_login_against_a_reset(pods: Pods, desk: Desk) -> None:
    """By the old password nobody ends inside; by the new one whoever logs in stays."""
    chance = random.Random(17)
    for turn in range(20):
        ann = await pods.sign_up()
        new = f"the password of turn {turn}"
        user = await desk.does.lookup.find(ann.id.hex())
        token = (await desk.does.reset_links.issue(user, CLIENT)).token
        reset = pods.all[turn % 2].services.password_reset.reset(token, new, CLIENT)
        inside = await race(pods, [log_in(pod, ann, turn) for pod in pods], reset, chance)
        for pod in pods:
            for opened in inside:
                await is_out(pod, opened)
            with pytest.raises(InvalidCredentials):
                await log_in(pod, ann, turn)
            opened = await log_in(pod, ann, turn, new)
            await pod.services.sessions.refresh(opened.tokens.refresh_token, CLIENT)
