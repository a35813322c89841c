"""What a process alone knows is missed also where others have given its number anew meanwhile."""

import os
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.clock import system_clock
from service.errors import RefreshTokenReused, StoreUnavailable
from service.operators.request import OperatorRequest
from service.operators.sessions import SessionAdministration
from service.rollback.own_entries import is_another
from service.rollback.store import RollbackStore
from service.sessions.access_tokens import Caller
from service.sessions.record import Authentication
from service.sessions.upstream import UpstreamSessions
from tests.rollback.conftest import NewPod
from tests.rollback.pod import FEED_LIFE, Opened, Pod, Snapshot, bucket_of, feed, number
from tests.support.looking import ON_VALKEY

TakeSnapshot = Callable[..., Snapshot]

pytestmark = pytest.mark.parametrize("new_user_store", ["sqlite"], indirect=True)
SESSION, USER = bytes(12), bytes(16)


async def log_out(pod: Pod, session: Opened) -> None:
    await pod.end(session)


async def log_out_everywhere(pod: Pod, session: Opened) -> None:
    """Of so many that one entry says it of all."""
    for _ in range(29):
        await pod.open(session.user)
    assert await pod.sessions.cut_offs.end_all(session.user, CLIENT, reason="test") == 30
    assert pod.rollback.fence.answered[bucket_of(session)] == 1


async def log_out_of_two(pod: Pod, session: Opened) -> None:
    """Each has an entry."""
    await pod.open(session.user)
    assert await pod.sessions.cut_offs.end_all(session.user, CLIENT, reason="test") == 2


async def end_one(pod: Pod, session: Opened) -> None:
    other = await pod.open(session.user)
    await pod.sessions.revoke(Caller(session.user, session.id), other.id, CLIENT)


async def end_others(pod: Pod, session: Opened) -> None:
    await pod.open(session.user)
    await pod.sessions.revoke_all(Caller(session.user, session.id), True, CLIENT)


async def by_operator(pod: Pod, session: Opened) -> None:
    sessions = SessionAdministration(pod.link, pod.sessions.cut_offs, FEED_LIFE)
    assert await sessions.end(session.user, session.id, OperatorRequest("cli", "test", CLIENT))


async def by_provider(pod: Pod, session: Opened) -> None:
    life = timedelta(hours=1)
    upstream = UpstreamSessions(pod.link, life, 50, FEED_LIFE, system_clock)
    login = await upstream.begin("https://idp.example", session.user.hex(), "", 0)
    await upstream.note(login, session.user, session.id)
    ended = await upstream.end("https://idp.example", session.user.hex(), "", CLIENT, by="test")
    assert ended.count == 1


async def for_theft(pod: Pod, session: Opened) -> None:
    tokens = await pod.sessions.open(session.user, Authentication.PASSWORD, "user.loggedIn", CLIENT)
    second = await pod.sessions.refresh(tokens.refresh_token, CLIENT)
    await pod.sessions.refresh(second.refresh_token, CLIENT)
    with pytest.raises(RefreshTokenReused):
        await pod.sessions.refresh(tokens.refresh_token, CLIENT)


WAYS = [
    log_out, log_out_everywhere, log_out_of_two, end_one, end_others, by_operator, by_provider,
    for_theft,
]  # fmt: skip


async def by_connection(pod: Pod, _: Opened) -> None:
    await pod.reconnect()


async def by_buckets(pod: Pod, session: Opened) -> None:
    """As a node of a cluster gets them in a failover."""
    (node,) = await pod.own._topology.primaries()
    await pod.rollback.check_buckets(node, [bucket_of(session)])


@ON_VALKEY
@pytest.mark.parametrize(("end", "compare"), [
    (log_out, by_connection), (log_out_everywhere, by_connection), (log_out_of_two, by_connection),
    (log_out, by_buckets),
])  # fmt: skip
async def test_a_number_that_was_given_anew(
    new_pod: NewPod,
    keys: RedisServer,
    snapshot: TakeSnapshot,
    end: Callable[[Pod, Opened], Awaitable[None]],
    compare: Callable[[Pod, Opened], Awaitable[None]],
) -> None:
    """Only the pod that has answered knows; the others go on, and the journal has their entry under
    that number. Then it compares: the bucket is fenced, and all there are cut off."""
    alone, other = await new_pod(), await new_pod()
    ended = await alone.open()
    bucket = bucket_of(ended)
    sessions = [await other.open(ended.user[:1] + os.urandom(15)) for _ in range(5)]
    before = snapshot(bucket)
    await end(alone, ended)
    assert alone.rollback.fence.answered[bucket]
    before.put_back()
    for session in sessions[:4]:
        await other.end(session)
    await other.settle()
    assert await other.lives(ended) is True, "nobody else can know"

    await compare(alone, ended)
    assert await alone.lives(ended) == "rollback"
    await alone.reconnect()  # which tells the others
    await other.settle()
    await alone.watch.look()
    for pod in (alone, other):
        assert not await pod.lives(ended)
        assert not await pod.lives(sessions[-1])
        assert await pod.lives(await pod.open(ended.user)) is True
    assert feed(keys, bucket)[-1][1][b"g"] == b"1", "guards hear of it"
    assert number(keys, bucket) > 4


@ON_VALKEY
async def test_nothing_was_lost(new_pod: NewPod, keys: RedisServer) -> None:
    """Its entries are there, however it came to them, and others' after them: it serves all."""
    pod, other = await new_pod(), await new_pod()
    for end in WAYS:
        session = await pod.open()
        others = [await other.open(session.user[:1] + os.urandom(15)) for _ in range(2)]
        await end(pod, session)
        assert pod.rollback.fence.ended[bucket_of(session)], end.__name__
        for each in others:
            await other.end(each)
        await pod.reconnect()
        assert await pod.lives(others[0]) is False
        assert not pod.rollback.fence.buckets, end.__name__
    await pod.sessions.cut_offs.everybody(CLIENT, reason="test", by="cli")
    await pod.reconnect()
    assert await pod.lives(others[0]) is False
    assert not pod.rollback.fence.buckets


@ON_VALKEY
async def test_one_that_was_trimmed(pod: Pod, keys: RedisServer) -> None:
    """It matters no more, and is no reason to fence."""
    session = await pod.open()
    await pod.end(session)
    await pod.end(await pod.open(session.user))
    pod.rollback.fence.answered[bucket_of(session)] = 1
    with keys.client() as client:
        (first, _), _ = feed(keys, bucket_of(session))
        client.xdel(f"revoked:{{{bucket_of(session):02x}}}", first)
    await pod.reconnect()
    assert await pod.lives(session) is False


@pytest.mark.parametrize(("ended", "found", "another"), [
    (SESSION, [b"7", b"s", SESSION, b""], False),
    (SESSION, [b"7", b"s", b"x" * 12, b""], True),
    (SESSION, [b"7", b"u", USER, b""], True),
    (SESSION, [b"7", b"g", b"1", b""], False),
    (SESSION, [b"7", b"new", b"", b""], False),
    (SESSION, [b"8", b"s", b"x" * 12, b""], False),
    (SESSION, [], False),
    (USER, [b"7", b"u", USER, b""], False),
    (USER, [b"7", b"u", b"x" * 16, b""], True),
    (USER, [b"7", b"s", SESSION, b"00" * 16], False),
    (USER, [b"7", b"s", SESSION, b"01" * 16], True),
    (USER, [b"7", b"s", SESSION, b""], False),
])  # fmt: skip
def test_which_entry_is_another(
    new_user_store: object, ended: bytes, found: list[bytes], another: bool
) -> None:
    """By what it has ended; not where that cannot be told, or a cut-off has ended it as well."""
    assert is_another(7, ended, found) is another


@ON_VALKEY
async def test_others_give_the_number_anew_before_they_are_told(
    new_pod: NewPod, snapshot: TakeSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user store is locked while one process alone knows: it does not take the number that it
    sees after a while for its own, and tells once it can."""
    pod, other = await new_pod(), await new_pod()
    ended, meanwhile = await pod.open(USER), await other.open(USER)
    for each in (pod, other):
        await each.settle()
    before = snapshot(bucket_of(ended))
    await pod.end(ended)

    async def locked(*_: object) -> None:
        raise StoreUnavailable("the user store is locked by somebody else for too long")

    with monkeypatch.context() as patch:
        patch.setattr(RollbackStore, "raise_to", locked)
        before.put_back()
        await pod.reconnect()
        assert await pod.lives(ended) == "rollback"
        await other.end(meanwhile)
        await pod.watch.look()
        assert await pod.lives(ended) == "rollback"
    await pod.settle()
    await other.settle()
    for each in (pod, other):
        assert not await each.lives(ended)
