"""Deletions that are killed or fail: the account with its sessions, or neither."""

import asyncio
import itertools

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.errors import InvalidAccessToken, StoreUnavailable
from service.redis.keys import bucket
from tests.authentication.test_password_change_races import Client, client_of, ended_by
from tests.support.looking import ON_VALKEY, events
from tests.twofactor.pods import Killed, Pods

pytestmark = ON_VALKEY


def is_there(pods: Pods, client: Client) -> bool:
    return bool(pods.store.ask("SELECT id FROM users WHERE id = $1", client.somebody.id))


@pytest.mark.parametrize("error", [Killed, asyncio.CancelledError, StoreUnavailable])
async def test_ended_at_each_step(
    pods: Pods, keys: RedisServer, error: type[BaseException]
) -> None:
    """While the session refreshes at the other pod at each step; and repeated, it completes."""
    here, there = pods
    outcomes = set()
    for point in itertools.count():
        ann = await client_of(pods)
        other = Client(pods, ann.somebody, ann.tokens)
        deletion = here.services.own_account._deletion

        async def goes_on(ann: Client = ann, other: Client = other) -> None:
            was_there = is_there(pods, ann)
            went_on = await other.refresh(there)
            if was_there == is_there(pods, ann):
                assert went_on == was_there

        here.fuse.left, here.fuse.error, here.fuse.meanwhile = point, error, goes_on
        failed = await ended_by(deletion.delete(ann.somebody.id, CLIENT, by="test"), error)
        here.fuse.left = None
        there_is = is_there(pods, ann)
        outcomes.add(there_is)
        assert await ann.shows(there) == await ann.shows(here) == there_is, point
        assert await other.refresh(here) == there_is, point
        await deletion.delete(ann.somebody.id, CLIENT, by="test")
        assert not is_there(pods, ann)
        assert await there.services.sessions.count(ann.somebody.id) == 0, point
        told = [row["type"] for row in events(keys, ann.somebody.id)]
        assert told.count("user.deleted") <= 1, point
        if not failed:
            break
    assert point >= 8
    assert outcomes == {True, False}


async def test_what_it_answers(pods: Pods, keys: RedisServer) -> None:
    """Whether there was such an account; of nobody it writes no event. Enrolments go, too."""
    here, there = pods
    ann = await client_of(pods)
    await here.begin(ann.somebody)
    deletion = there.services.own_account._deletion
    assert await deletion.delete(ann.somebody.id, CLIENT, by="cli", reason="asked for it")
    assert not await deletion.delete(ann.somebody.id, CLIENT, by="cli", reason="asked for it")
    told = [row for row in events(keys, ann.somebody.id) if row["type"] == "user.deleted"]
    assert [(row["by"], row["reason"]) for row in told] == [("cli", "asked for it")]
    with keys.client() as client:
        assert not client.exists(bucket(ann.somebody.id).pending + ann.somebody.id)
    with pytest.raises(InvalidAccessToken):
        await here.services.own_account.delete(ann.caller, CLIENT)
