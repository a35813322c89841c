"""A new password by a link: once, briefly, and with nothing of before left in."""

import asyncio
from datetime import timedelta

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD
from tools.testbed.waiting import eventually

from service.authentication.password import LoggedIn
from service.authentication.password_reset import ResetLinks
from service.errors import (
    AccountDisabled,
    ChallengeNotFound,
    InvalidAccessToken,
    InvalidCredentials,
    InvalidField,
    InvalidRefreshToken,
    InvalidResetToken,
    Overloaded,
    WeakPassword,
)
from service.twofactor.challenges import Issued
from tests.operators.conftest import REQUEST, Desk
from tests.support.looking import events, watching
from tests.twofactor.pods import Pod, Pods, Somebody

NEW = "another good password"


async def link_of(desk: Desk, somebody: Somebody) -> str:
    """The token of a fresh link."""
    user = await desk.does.lookup.find(somebody.id.hex())
    return (await desk.does.reset_links.issue(user, CLIENT)).token


async def log_in(pod: Pod, somebody: Somebody, password: str) -> LoggedIn | Issued:
    return await pod.services.accounts.log_in(somebody.user.email, password, CLIENT)


async def reset(pod: Pod, token: str, password: str = NEW) -> None:
    await pod.services.password_reset.reset(token, password, CLIENT)


async def refused(pods: Pods, token: str) -> None:
    """The one answer of a link that is none, at every pod."""
    for pod in pods:
        with pytest.raises(InvalidResetToken):
            await reset(pod, token)


async def test_it_works_once(pods: Pods, desk: Desk, keys: RedisServer) -> None:
    """The new password is good, the old one is not, and no session of before goes on."""
    here, there = pods
    ann, bob = await pods.sign_up(), await pods.sign_up()
    opened = await log_in(there, ann, PASSWORD)
    assert isinstance(opened, LoggedIn)
    token = await link_of(desk, ann)
    await reset(here, token)
    for pod in pods:
        with pytest.raises(InvalidAccessToken):
            await pod.shows(ann)
        with pytest.raises(InvalidRefreshToken):
            await pod.services.sessions.refresh(opened.tokens.refresh_token, CLIENT)
        with pytest.raises(InvalidCredentials):
            await log_in(pod, ann, PASSWORD)
        assert isinstance(await log_in(pod, ann, NEW), LoggedIn)
        await pod.shows(bob)
    await refused(pods, token)
    changed = (await desk.does.lookup.find(ann.id.hex())).password_changed_at
    assert changed is not None
    [event] = [row for row in events(keys, ann.id) if row["type"] == "user.passwordReset"]
    assert (event["count"], event["ip"]) == ("2", "192.0.2.7")


async def test_the_second_factor_stays(pods: Pods, desk: Desk) -> None:
    """The next login asks for its code; the challenge of before ends."""
    here, there = pods
    ann = await pods.enrolled()
    before = await here.challenge(ann)
    await reset(here, await link_of(desk, ann))
    with pytest.raises(ChallengeNotFound):
        await there.answer(before, pods.code(ann))
    issued = await log_in(there, ann, NEW)
    assert isinstance(issued, Issued)
    assert (await there.answer(issued.id, pods.code(ann))).user.recovery_codes_left == 10


async def test_a_weak_password_leaves_it_good(pods: Pods, desk: Desk) -> None:
    """So does one that is too long; nothing has changed by them."""
    here, there = pods
    ann = await pods.sign_up()
    token = await link_of(desk, ann)
    for weak in ("", "password", ann.user.email, "x" * 20):
        with pytest.raises(WeakPassword):
            await reset(here, token, weak)
    with pytest.raises(InvalidField):
        await reset(here, token, "long" * 300)
    await there.shows(ann)
    await reset(there, token)


async def test_racers(pods: Pods, desk: Desk) -> None:
    """Fifty with one link and passwords of their own: one wins, and it is his that is stored.

    They come from one network, so some find no place for their hash, and may try again: in vain.
    """
    ann = await pods.sign_up()
    token = await link_of(desk, ann)
    passwords = [f"password of number {number}" for number in range(50)]
    outcomes = await asyncio.gather(
        *(
            reset(pods.all[number % 2], token, password)
            for number, password in enumerate(passwords)
        ),
        return_exceptions=True,
    )
    losers = [type(outcome) for outcome in outcomes if outcome is not None]
    assert len(losers) == 49
    assert set(losers) <= {InvalidResetToken, Overloaded}
    await refused(pods, token)
    winner = passwords[outcomes.index(None)]
    assert isinstance(await log_in(pods.all[0], ann, winner), LoggedIn)


async def test_a_newer_link(pods: Pods, desk: Desk) -> None:
    """It makes the one before void, whether it is used or not."""
    here, _ = pods
    ann = await pods.sign_up()
    first, second = await link_of(desk, ann), await link_of(desk, ann)
    await refused(pods, first)
    await reset(here, second)
    await refused(pods, first)


async def test_links_end_with_the_sessions(pods: Pods, desk: Desk) -> None:
    """One that was printed before an account was disabled, reset or deleted is void."""
    here, _ = pods
    ann = await pods.sign_up()
    token = await link_of(desk, ann)
    await desk.does.accounts.disable(await desk.does.lookup.find(ann.id.hex()), REQUEST)
    await desk.does.accounts.enable(await desk.does.lookup.find(ann.id.hex()), REQUEST)
    await refused(pods, token)
    assert isinstance(await log_in(here, ann, PASSWORD), LoggedIn)
    token = await link_of(desk, ann)
    await desk.does.accounts.delete(ann.id, REQUEST)
    await refused(pods, token)


async def test_a_disabled_account_stays_so(pods: Pods, desk: Desk) -> None:
    """A link gives it a password, and nobody gets in by that."""
    here, _ = pods
    ann = await pods.sign_up()
    await desk.does.accounts.disable(await desk.does.lookup.find(ann.id.hex()), REQUEST)
    await reset(here, await link_of(desk, ann))
    for pod in pods:
        with pytest.raises(InvalidCredentials):
            await log_in(pod, ann, PASSWORD)
        with pytest.raises(AccountDisabled):
            await log_in(pod, ann, NEW)


async def test_junk_asks_no_store(pods: Pods, desk: Desk, keys: RedisServer) -> None:
    """Whatever was not minted here is refused without a command to Redis."""
    ann = await pods.sign_up()
    token = await link_of(desk, ann)
    other = token[:-1] + ("A" if token[-1] != "A" else "B")
    with watching(keys) as seen:
        for junk in ("", "osm_", other, token[4:], "osr_" + token[4:], token + "\n", "\ud800"):
            await refused(pods, junk)
    assert seen.from_clients == []
    assert seen.in_scripts == []


async def test_it_expires(pods: Pods, desk: Desk) -> None:
    """By Redis' clock; expired is as unknown."""
    ann = await pods.sign_up()
    links = ResetLinks(desk.does.reset_links._tickets, timedelta(milliseconds=200))
    token = (await links.issue(ann.user, CLIENT)).token

    async def expired() -> bool:
        try:
            await reset(pods.all[0], token, "")
        except InvalidResetToken:
            return True
        except WeakPassword:
            return False
        raise AssertionError

    await eventually(expired)
    await refused(pods, token)


async def test_a_hash_that_is_renewed_meanwhile(
    pods: Pods, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that brings the hash up to date between reading and writing loses nobody's reset."""
    here, there = pods
    ann = await pods.sign_up()
    changes = here.services.password_reset._changes
    set_password, calls = changes.set_password, 0

    async def renewed_before(*arguments, **named):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 1:
            read = await there.services.accounts._users.credentials(ann.id)
            assert read is not None
            renewed = await there.services.accounts._passwords.hash(PASSWORD)
            await there.services.accounts._users.replace_password_hash(
                ann.id, read.password, renewed
            )
        return await set_password(*arguments, **named)

    monkeypatch.setattr(changes, "set_password", renewed_before)
    await reset(here, await link_of(desk, ann))
    assert calls == 2
    assert isinstance(await log_in(there, ann, NEW), LoggedIn)
