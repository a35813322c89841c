"""Logins that began before the second factor changed, and end after it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD
from tools.testbed.waiting import eventually

from service.authentication.password import LoggedIn
from service.errors import ChallengeNotFound, InvalidCredentials, StoreUnavailable
from service.redis.keys import bucket
from service.twofactor.challenges import Issued
from tests.support.looking import events
from tests.support.two_factor import let_steps_pass, new_holder
from tests.twofactor.pods import Killed, Pods, Somebody, finished


class Gate:
    """Holds all calls of a function after it has done its work, until it is opened."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self._call = call
        self.held = 0
        self.open = asyncio.Event()

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        result = await self._call(*arguments, **named)
        self.held += 1
        await self.open.wait()
        return result


async def until(condition: Callable[[], object]) -> None:
    async def asked() -> object:
        return condition()

    await eventually(asked)


async def held_logins(
    pods: Pods, ann: Somebody, monkeypatch: pytest.MonkeyPatch, each: int = 5
) -> tuple[list["asyncio.Task[Any]"], Gate]:
    """Logins at both pods whose password has been found right, and no more."""
    gate = Gate(type(pods.all[0].services.accounts._passwords).verify)
    monkeypatch.setattr(
        type(pods.all[0].services.accounts._passwords),
        "verify",
        lambda self, *arguments: gate(self, *arguments),
    )
    logins = [asyncio.create_task(pod.password(ann)) for pod in pods for _ in range(each)]
    await until(lambda: gate.held == len(logins))
    monkeypatch.undo()
    return logins, gate


async def test_logins_before_it_went_on(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ends with a challenge, which its code passes."""
    here, there = pods
    ann = await pods.sign_up()
    logins, gate = await held_logins(pods, ann, monkeypatch)
    await here.begin(ann)
    codes = await here.verify(ann, pods.code(ann))
    gate.open.set()
    outcomes = await asyncio.gather(*logins)
    assert [type(outcome) for outcome in outcomes] == [Issued] * 10
    answered = await there.answer(outcomes[0].id, codes[0])
    assert answered.user.two_fa_enabled


async def test_logins_between_the_row_and_its_publication(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that turns it on is killed once the row is written: a challenge all the same."""
    here, _ = pods
    ann = await pods.sign_up()
    logins, gate = await held_logins(pods, ann, monkeypatch)
    await here.begin(ann)

    async def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(here.services.enrolments._pending, "complete", die)
        assert not await finished(here.verify(ann, pods.code(ann)))
    assert pods.truth(ann) == (True, 10)
    gate.open.set()
    outcomes = await asyncio.gather(*logins)
    assert [type(outcome) for outcome in outcomes] == [Issued] * 10


async def test_logins_while_it_is_announced_and_not_written(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, keys: RedisServer
) -> None:
    """The row says that a password is enough, and a session it is; also for ever after a kill."""
    here, there = pods
    ann = await pods.sign_up()
    logins, gate = await held_logins(pods, ann, monkeypatch)
    await here.begin(ann)

    async def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(here.services.enrolments._factors, "enable", die)
        assert not await finished(here.verify(ann, pods.code(ann)))
    with keys.client() as client:
        assert client.hget(bucket(ann.id).index + ann.id, "v").startswith(b"?")
    gate.open.set()
    outcomes = await asyncio.gather(*logins)
    assert [type(outcome) for outcome in outcomes] == [LoggedIn] * 10
    assert isinstance(await there.password(ann), LoggedIn)
    await there.verify(ann, pods.code(ann))
    assert await pods.agree(ann)


async def test_logins_before_it_went_off(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their challenges are of a factor that is no more, and so is one with a right code."""
    here, there = pods
    ann = await pods.enrolled()
    logins, gate = await held_logins(pods, ann, monkeypatch)
    code = pods.code(ann)
    await here.disable(ann, ann.recovery_codes[0])
    gate.open.set()
    for outcome in await asyncio.gather(*logins):
        assert isinstance(outcome, Issued)
        with pytest.raises(ChallengeNotFound):
            await there.answer(outcome.id, code)


@pytest.mark.parametrize("recovery", [False, True])
@pytest.mark.parametrize("again", [False, True], ids=["off", "replaced"])
async def test_second_steps_before_it_went_off(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, recovery: bool, again: bool
) -> None:
    """The code was right and the challenge is used up; then the factor is gone: no session."""
    here, there = pods
    ann = await pods.enrolled()
    opened = await here.services.sessions.count(ann.id)
    challenge = await here.challenge(ann)
    second_step = here.services.second_step
    gate = Gate(second_step._pass)
    monkeypatch.setattr(second_step, "_pass", gate)
    code = ann.recovery_codes[0] if recovery else pods.code(ann)
    answering = asyncio.create_task(here.answer(challenge, code))
    await until(lambda: gate.held)
    await there.disable(ann, ann.recovery_codes[1])
    if again:
        pods.watch.advance()
        await there.begin(ann)
        await there.verify(ann, pods.code(ann))
    gate.open.set()
    with pytest.raises(ChallengeNotFound):
        await answering
    assert await here.services.sessions.count(ann.id) == opened


async def test_second_steps_beside_other_changes(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fresh recovery codes meanwhile, or another login with one, are no reason to refuse."""
    here, there = pods
    ann = await pods.enrolled()
    challenges = [await here.challenge(ann) for _ in range(2)]
    second_step = here.services.second_step
    gate = Gate(second_step._pass)
    monkeypatch.setattr(second_step, "_pass", gate)
    answering = [
        asyncio.create_task(here.answer(challenges[0], pods.code(ann))),
        asyncio.create_task(here.answer(challenges[1], ann.recovery_codes[0])),
    ]
    await until(lambda: gate.held == 2)
    await there.renew(ann, pods.code(ann, 1))
    gate.open.set()
    by_code, by_recovery = await asyncio.gather(*answering)
    assert by_code.user.two_fa_enabled
    assert by_recovery.user.two_fa_enabled
    assert await pods.agree(ann)


async def test_a_hash_that_was_renewed_meanwhile(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is compared with what is stored now: the same password logs in, another not."""
    here, there = pods
    ann = await pods.sign_up()
    for password, wanted in ((PASSWORD, Issued), ("another one", InvalidCredentials)):
        logins, gate = await held_logins(pods, ann, monkeypatch, 1)
        if wanted is Issued:
            await here.begin(ann)
            await here.verify(ann, pods.code(ann))
        else:
            await there.disable(ann, pods.code(ann, 1))
        renewed = await there.services.accounts._passwords.hash(password, "here")
        pods.store.ask(
            "UPDATE users SET password_hash = $1, password_scheme = $2 WHERE id = $3",
            renewed.value,
            renewed.scheme,
            ann.id,
        )
        gate.open.set()
        outcomes = await asyncio.gather(*logins, return_exceptions=True)
        if wanted is InvalidCredentials:
            # Those that read the row under 2FA got challenges of a factor that is no more.
            assert all(isinstance(outcome, Issued | InvalidCredentials) for outcome in outcomes)
        else:
            assert [type(outcome) for outcome in outcomes] == [wanted] * len(outcomes)


async def test_an_account_that_is_deleted_meanwhile(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, keys: RedisServer
) -> None:
    """Held open by a change: the answer is that of an unknown account."""
    ann = await pods.sign_up()
    logins, gate = await held_logins(pods, ann, monkeypatch, 1)
    with keys.client() as client:
        client.hset(bucket(ann.id).index + ann.id, "v", "?1 0 1")
    pods.store.ask("DELETE FROM users WHERE id = $1", ann.id)
    gate.open.set()
    outcomes = await asyncio.gather(*logins, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [InvalidCredentials] * 2


async def test_many_logins_against_a_verify(
    http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, keys: RedisServer
) -> None:
    """Eight at a time at two pods, again and again, while 2FA goes on: by the order of the audit
    events, no session is opened after it by a password alone; off and on again, three times."""
    ann = await new_holder(http)
    for _ in range(3):
        let_steps_pass(keys)
        await ann.begin()
        on, first = asyncio.Event(), asyncio.Event()

        async def keep_logging_in(
            number: int, on: asyncio.Event = on, first: asyncio.Event = first
        ) -> list[int]:
            statuses = []
            while not statuses or statuses[-1] == 200:
                client = [http, elsewhere][number % 2]
                was_on = on.is_set()
                answer = await ann.password(client)
                statuses.append(answer.status_code)
                assert answer.status_code == 202 or not was_on
                assert answer.status_code in (200, 202)
                first.set()
            return statuses

        async def turn_on(on: asyncio.Event = on, first: asyncio.Event = first) -> None:
            await first.wait()  # somebody is in by then
            assert (await ann.verify()).status_code == 200
            on.set()

        seen, _ = await asyncio.gather(
            asyncio.gather(*(keep_logging_in(number) for number in range(8))), turn_on()
        )
        assert sum(status == 200 for statuses in seen for status in statuses) > 0
        types = [row["type"] for row in events(keys, ann.user_id)]
        assert types.count("twoFA.enabled") == 1
        assert "user.loggedIn" not in types[types.index("twoFA.enabled") :]
        ann.tokens = (await ann.answer(await ann.challenge(), ann.phone.code(1))).json()
        let_steps_pass(keys)
        assert (await ann.disable(ann.phone.code())).status_code == 204
        with keys.client() as client:
            client.delete(bucket(ann.user_id).events)


async def test_the_user_store_is_away_while_a_change_is_announced(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, keys: RedisServer
) -> None:
    """Nobody can say whether a code is needed: no session."""
    ann = await pods.sign_up()
    logins, gate = await held_logins(pods, ann, monkeypatch, 1)
    with keys.client() as client:
        client.hset(bucket(ann.id).index + ann.id, "v", "?1 0 1")
    with pods.store.out_of_reach():
        gate.open.set()
        outcomes = await asyncio.gather(*logins, return_exceptions=True)
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes), outcomes
    assert await pods.all[0].services.sessions.count(ann.id) == 1
