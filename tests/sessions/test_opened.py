"""Opening and counting as operators do it: sessions without access tokens, many at a time."""

import os

import pytest
from tools.testbed.parts import CLIENT, Parts
from tools.testbed.redis_server import RedisServer

from service.errors import AccountChanged, UnknownLayout
from service.redis.keys import bucket
from service.sessions.record import Authentication
from tests.support.keys import session_prefix


async def test_an_unsigned_session_is_a_session(parts: Parts) -> None:
    """Signed afterwards, its tokens do what those of any other do."""
    user_id = os.urandom(16)
    opened = await parts.sessions.open_unsigned(
        user_id, Authentication.PASSWORD, "user.loggedIn", CLIENT
    )
    tokens = parts.sessions.sign(opened)
    caller = parts.access_tokens.verify(tokens.access_token)
    assert (caller.user_id, caller.session_id) == (user_id, tokens.session_id)
    assert (await parts.sessions.current(caller)).expires_at.timestamp() * 1000 == opened.expires_at
    renewed = await parts.sessions.refresh(tokens.refresh_token, CLIENT)
    await parts.sessions.log_out(caller, renewed.refresh_token, CLIENT)
    assert tokens.refresh_token not in repr(opened)


async def test_many_are_opened_at_once(parts: Parts, keys: RedisServer) -> None:
    """For people of one bucket, in one step: each as if alone, the limit of a person too."""
    users = [b"\7" + os.urandom(15) for _ in range(20)]
    people = [(user_id, CLIENT) for user_id in [*users, *users, *[users[0]] * 49]]
    opened = await parts.sessions.open_many(people, Authentication.PASSWORD, "user.loggedIn")
    alone = await parts.sessions.open_unsigned(
        users[1], Authentication.PASSWORD, "user.loggedIn", CLIENT
    )
    assert [one.token.user_id for one in opened] == [user_id for user_id, _ in people]
    assert len({one.token.session_id for one in opened}) == len(people)
    with keys.client() as client:
        prefix, index = session_prefix(users[1]), bucket(users[1]).index + users[1]
        assert client.hlen(index) == 3
        for one in (opened[1], opened[21], alone):
            assert client.hget(index, one.token.session_id) == one.token.digest
            assert client.get(prefix + one.token.digest) == one.record
            assert client.pexpiretime(prefix + one.token.digest) == one.expires_at
            assert (one.record[:5], one.record[11:]) == (alone.record[:5], alone.record[11:])
    assert await parts.sessions.count(users[0]) == 50, "the oldest have made room"
    tokens = parts.sessions.sign(opened[21])
    assert (await parts.sessions.refresh(tokens.refresh_token, CLIENT)).session_id


async def test_one_of_many_is_refused(parts: Parts, keys: RedisServer) -> None:
    """Whose row changes is an error, as alone; and an index of another version is, in its place."""
    users = [b"\7" + os.urandom(15) for _ in range(3)]
    people = [(user_id, CLIENT) for user_id in users]
    with keys.client() as client:
        client.hset(bucket(users[1]).index + users[1], "v", b"none of ours")
        with pytest.raises(UnknownLayout):
            await parts.sessions.open_many(people, Authentication.PASSWORD, "user.loggedIn")
        client.delete(bucket(users[1]).index + users[1])
    assert [await parts.sessions.count(user_id) for user_id in users] == [1, 0, 0]


async def test_only_living_sessions_count(parts: Parts, keys: RedisServer) -> None:
    """Not those that have ended or expired, nor the version of the user row beside them."""
    user_id = os.urandom(16)
    assert await parts.sessions.count(user_id) == 0
    for version in (0, 3, 3):
        await parts.sessions.open_unsigned(
            user_id, Authentication.PASSWORD, "user.loggedIn", CLIENT, version
        )
    pair = await parts.open(user_id)
    assert await parts.sessions.count(user_id) == 4
    caller = parts.access_tokens.verify(pair.access_token)
    await parts.sessions.log_out(caller, pair.refresh_token, CLIENT)
    assert await parts.sessions.count(user_id) == 3
    with keys.client() as client:
        index = client.hgetall(bucket(user_id).index + user_id)
        digest = next(value for name, value in index.items() if len(name) == 12)
        client.delete(session_prefix(user_id) + digest)  # as if it had expired
    assert await parts.sessions.count(user_id) == 2
    assert await parts.sessions.count(os.urandom(16)) == 0


CHANGING = b"?1 5 1700000000000"


@pytest.mark.one_server("what a script decides is the same on any")
@pytest.mark.parametrize(
    ("before", "read", "noted", "after"),
    [
        (None, None, b"", None),
        (None, 0, b"", None),
        (None, 3, b"", b"3"),
        (b"5", None, b"", b"5"),
        (b"5", 5, b"", b"5"),
        (b"5", 5, b"5", b"5"),
        (b"5", 4, b"5", b"4"),
        (b"5", 6, b"5", b"6"),
        (CHANGING, 5, CHANGING, CHANGING),
        (CHANGING, None, b"", CHANGING),
    ],
)
async def test_what_the_index_notes_of_the_row(
    parts: Parts,
    keys: RedisServer,
    before: bytes | None,
    read: int | None,
    noted: bytes,
    after: bytes | None,
) -> None:
    """The version that was read, unless it says nothing; a change that is announced stays so, and
    the session is noted as opened meanwhile."""
    user_id = os.urandom(16)
    index = bucket(user_id).index + user_id
    with keys.client() as client:
        if before is not None:
            client.hset(index, "v", before)
        await parts.sessions.open_unsigned(
            user_id, Authentication.PASSWORD, "user.loggedIn", CLIENT, read, noted=noted
        )
        assert client.hget(index, "v") == after
        is_noted = before == CHANGING  # that it was opened meanwhile
        assert client.hlen(index) == 1 + (after is not None) + is_noted


@pytest.mark.one_server("what a script decides is the same on any")
@pytest.mark.parametrize(
    ("before", "read", "noted", "error"),
    [
        (b"5", 4, b"", AccountChanged),
        (b"5", 6, b"", AccountChanged),
        (b"5", 4, b"4", AccountChanged),
        (CHANGING, 5, b"", AccountChanged),
        (CHANGING, 5, b"?1 5 1600000000000", AccountChanged),
        (b"", 5, b"", UnknownLayout),
        (b"five", 5, b"five", UnknownLayout),
        (b"?", 5, b"?", UnknownLayout),
        (b"?1 5", None, b"", UnknownLayout),
        (b"5 1 1", None, b"", UnknownLayout),
    ],
)
async def test_no_session_by_a_row_that_may_be_old(
    parts: Parts,
    keys: RedisServer,
    before: bytes,
    read: int | None,
    noted: bytes,
    error: type[Exception],
) -> None:
    """Nor by a note that cannot be read. Nothing is written, and what is noted is told."""
    user_id = os.urandom(16)
    index = bucket(user_id).index + user_id
    with keys.client() as client:
        client.hset(index, "v", before)
        with pytest.raises(error) as refused:
            await parts.sessions.open_unsigned(
                user_id, Authentication.PASSWORD, "user.loggedIn", CLIENT, read, noted=noted
            )
        assert client.hgetall(index) == {b"v": before}
        assert client.keys("session:*") == []
        client.delete(index)
    if isinstance(refused.value, AccountChanged):
        assert refused.value.noted == before
