"""Challenges end with the sessions of the row by which they were issued."""

import asyncio

import pytest
from tools.testbed.redis_server import RedisServer

from service.errors import ChallengeFailed, ChallengeNotFound, UnknownLayout
from service.redis.keys import bucket
from service.twofactor.challenges import Issued
from tests.support.run_queue import Stopwatch
from tests.twofactor.pods import Pods, Somebody
from tests.twofactor.test_racing_logins import Gate, held_logins, until


def end_sessions(pods: Pods, somebody: Somebody) -> None:
    """What the row says once its sessions have ended, as after a change of the password."""
    pods.store.ask(
        "UPDATE users SET version = version + 7, sessions_from = version + 7 WHERE id = $1",
        somebody.id,
    )


def disable(pods: Pods, somebody: Somebody) -> None:
    pods.store.ask("UPDATE users SET disabled_at = 1 WHERE id = $1", somebody.id)


CHANGES = pytest.mark.parametrize("change", [end_sessions, disable])
HOW = pytest.mark.parametrize("recovery", [False, True], ids=["totp", "recovery"])


@HOW
@CHANGES
async def test_issued_before(pods: Pods, keys: RedisServer, change: object, recovery: bool) -> None:
    """The right code finds nothing, and is not used up: it passes the next challenge."""
    here, there = pods
    ann = await pods.enrolled()
    code = ann.recovery_codes[0] if recovery else pods.code(ann)
    challenge = await here.challenge(ann)
    change(pods, ann)  # type: ignore[operator]  # one of the two above
    for pod in (here, there):
        with pytest.raises(ChallengeNotFound):
            await pod.answer(challenge, code)
    assert pods.truth(ann) == (True, 10)
    pods.store.ask("UPDATE users SET disabled_at = NULL WHERE id = $1", ann.id)
    assert (await there.answer(await here.challenge(ann), code)).user.two_fa_enabled


@HOW
@CHANGES
async def test_passed_before(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, change: object, recovery: bool
) -> None:
    """The code was right and the challenge is used up when the row changes: no session."""
    here, _ = pods
    ann = await pods.enrolled()
    opened = await here.services.sessions.count(ann.id)
    challenge = await here.challenge(ann)
    gate = Gate(here.services.second_step._pass)
    monkeypatch.setattr(here.services.second_step, "_pass", gate)
    code = ann.recovery_codes[0] if recovery else pods.code(ann)
    answering = asyncio.create_task(here.answer(challenge, code))
    await until(lambda: gate.held)
    change(pods, ann)  # type: ignore[operator]  # one of the two above
    gate.open.set()
    with pytest.raises(ChallengeNotFound):
        await answering
    assert await here.services.sessions.count(ann.id) == opened


async def test_logins_that_began_before(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row was read before the change, and the challenge is issued after it: it is over."""
    _, there = pods
    ann = await pods.enrolled()
    logins, gate = await held_logins(pods, ann, monkeypatch, 1)
    end_sessions(pods, ann)
    gate.open.set()
    for outcome in await asyncio.gather(*logins):
        assert isinstance(outcome, Issued)
        with pytest.raises(ChallengeNotFound):
            await there.answer(outcome.id, pods.code(ann))


async def test_one_that_another_version_has_issued(pods: Pods, keys: RedisServer) -> None:
    """Nothing says by which row: it is good for an account whose sessions have never been ended."""
    here, there = pods
    ann, since = await pods.enrolled(), Stopwatch()
    challenges = [await here.challenge(ann) for _ in range(2)]
    with keys.client() as client:
        for key in client.scan_iter(bucket(ann.id).challenge + b"*:row"):
            assert 300_000 - 1000 * (since.all + 1) < client.pttl(key) <= 300_000
            client.delete(key)
    assert (await there.answer(challenges[0], pods.code(ann))).user.two_fa_enabled
    end_sessions(pods, ann)
    with pytest.raises(ChallengeNotFound):
        await there.answer(challenges[1], pods.code(ann, 1))


@pytest.mark.one_server("what is stored reads the same on any")
@pytest.mark.parametrize("other", [b"", b"-1", b"1.5", b"x"])
async def test_a_version_that_cannot_be_read(pods: Pods, keys: RedisServer, other: bytes) -> None:
    """503, and the challenge stays as it is."""
    here, _ = pods
    ann = await pods.enrolled()
    challenge = await here.challenge(ann)
    with keys.client() as client:
        [key] = client.scan_iter(bucket(ann.id).challenge + b"*:row")
        version = client.get(key)
        client.set(key, other, keepttl=True)
        with pytest.raises(UnknownLayout):
            await here.answer(challenge, pods.code(ann))
        client.set(key, version, keepttl=True)
    assert (await here.answer(challenge, pods.code(ann))).user.two_fa_enabled


async def test_nothing_of_it_is_left(pods: Pods, keys: RedisServer) -> None:
    """Used up, or answered wrongly five times."""
    here, _ = pods
    ann = await pods.enrolled()
    passed, failed = await here.challenge(ann), await here.challenge(ann)
    await here.answer(passed, pods.code(ann))
    for _ in range(5):
        with pytest.raises(ChallengeFailed):
            await here.answer(failed, "")
    with keys.client() as client:
        assert list(client.scan_iter(bucket(ann.id).challenge + b"*")) == []
