"""Cut-offs in the feed, kinds that a guard does not know, and what is no entry at all."""

import asyncio
import logging
import os
import time
from datetime import timedelta
from typing import Any

import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.guard import Verifier
from service.guard.asgi import GuardMiddleware
from service.redis.keys import bucket
from tests.guard.exchange import Socket, bearer
from tests.guard.feed_writer import AT, NEIGHBOUR, OTHER, USER, FeedWriter, new_token
from tests.guard.guards import Guards, refuses, settled, verdict
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY


async def verdicts(guard: Verifier, tokens: list[str]) -> list[str]:
    return [await settled(guard, token) for token in tokens]


async def test_a_cut_off_of_a_user(feed: FeedWriter, guards: Guards) -> None:
    """Ends what was opened by then, to the millisecond, but for what it keeps; nobody else's.

    So it does for guards that had seen the tokens, that had not, and that start later.
    """
    kept = os.urandom(12), os.urandom(12)
    dead = [new_token(opened_at=at) for at in (0, AT - 1, AT)]
    alive = [
        new_token(opened_at=AT + 1),
        *[new_token(opened_at=AT - 1, session_id=session_id) for session_id in kept],
        new_token(NEIGHBOUR, AT - 1),
        new_token(OTHER, AT - 1),
    ]
    three = [await guards.start() for _ in range(3)]
    for guard in three[:2]:
        assert set(await verdicts(guard, dead + alive)) == {"accepted"}
    feed.cut_off(USER, AT, *kept)
    for guard in (*three, await guards.start()):
        await eventually(lambda guard=guard: refuses(guard, dead[0]))
        for _ in range(2):
            assert set(await verdicts(guard, dead)) == {"refused"}
            assert set(await verdicts(guard, alive)) == {"accepted"}
        assert guard.counters.feed_losses == guard.counters.feed_unknown == 0


async def test_a_cut_off_of_everybody(feed: FeedWriter, guards: Guards) -> None:
    """Ends what was opened by then in its bucket, to the millisecond."""
    three = [await guards.start() for _ in range(3)]
    dead = [new_token(user, at) for user in (USER, NEIGHBOUR) for at in (0, AT - 1, AT)]
    alive = [new_token(USER, AT + 1), new_token(OTHER, AT - 1)]
    for guard in three[:2]:
        assert set(await verdicts(guard, dead + alive)) == {"accepted"}
    feed.cut_off_everybody(USER)
    feed.cut_off_everybody(USER, AT - 5)  # an older one takes nothing back
    for guard in (*three, await guards.start()):
        await eventually(lambda guard=guard: refuses(guard, dead[0]))
        assert set(await verdicts(guard, dead)) == {"refused"}
        assert set(await verdicts(guard, alive)) == {"accepted"}


async def test_a_token_of_a_service_of_before(feed: FeedWriter, guards: Guards) -> None:
    """It has no `sat`: the second of its login counts, so it is rather refused than let in."""
    guard = await guards.start()
    seconds = AT // 1000
    logins = {at: new_token(opened_at=None, auth_time=at) for at in range(seconds - 1, seconds + 2)}
    feed.cut_off(USER, AT + 999)
    await eventually(lambda: refuses(guard, logins[seconds - 1]))
    told = await verdicts(guard, list(logins.values()))
    assert told == ["refused", "refused", "accepted"]


async def test_cut_offs_of_one_user_add_up(feed: FeedWriter, guards: Guards) -> None:
    """Whoever was refused stays so, whatever a later one says of when, and whom it keeps."""
    guard = await guards.start()
    ids = [os.urandom(12) for _ in range(3)]
    tokens = [new_token(opened_at=AT - 5, session_id=session_id) for session_id in ids]
    young = new_token(opened_at=AT + 1)
    feed.cut_off(USER, AT, ids[0], ids[1])
    await eventually(lambda: refuses(guard, tokens[2]))
    assert await verdicts(guard, [*tokens, young]) == [
        "accepted",
        "accepted",
        "refused",
        "accepted",
    ]
    feed.cut_off(USER, AT - 10, ids[2])  # by a clock that was put back
    feed.cut_off(USER, AT + 1, ids[0], ids[2])
    await eventually(lambda: refuses(guard, young))
    assert await verdicts(guard, tokens) == ["accepted", "refused", "refused"]


async def test_a_known_token_is_compared_once_with_each_cut_off(
    feed: FeedWriter, guards: Guards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its check is what it was before."""
    compared = list[str]()
    look_again = Verifier._look_again

    async def counted(self: Verifier, verified: Any) -> None:
        compared.append(verified.identity.session_id)
        await look_again(self, verified)

    monkeypatch.setattr(Verifier, "_look_again", counted)
    guard, token = await guards.start(), new_token()
    assert await settled(guard, token) == "accepted"
    for number in (1, 2):
        feed.cut_off(NEIGHBOUR)
        ended = new_token(session_id=os.urandom(12))
        feed.end(USER, bytes.fromhex((await guard.verify(ended)).session_id))
        await eventually(lambda ended=ended: refuses(guard, ended))
        compared.clear()
        assert [await settled(guard, token) for _ in range(5)] == ["accepted"] * 5
        assert len(compared) == 1, number


async def test_a_web_socket_is_closed(feed: FeedWriter, guards: Guards) -> None:
    """By a cut-off as by the end of its session, and the app hears of a client that has gone."""
    guard, heard = await guards.start(), list[Any]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        heard.append((await receive())["text"])
        feed.cut_off(USER)
        await eventually(lambda: refuses(guard, other))
        heard.append(await receive())

    token, other = new_token(), new_token()
    socket = Socket(bearer(token))
    socket.say("before")
    socket.say("after")
    await GuardMiddleware(app, verifier=guard)(socket.scope, socket.receive, socket.send)
    assert heard == ["before", {"type": "websocket.disconnect", "code": 4401, "reason": ""}]
    assert socket.outgoing[-1]["code"] == 4401


UNKNOWN: list[tuple[bytes | str | int, ...]] = [
    ("d", b"\0\xff" * 8), ("x", ""), ("u", USER, "t", AT, "k", bytes(12), "r", "admin"),
    ("s", bytes(12), "r", "admin"), ("t", AT, "u", USER), ("u", USER), ("g", 1, "t", AT, "k", b""),
    (b"\xff\n\0" * 100, "1"),
]  # fmt: skip


@pytest.mark.parametrize("fields", UNKNOWN)
async def test_a_kind_of_a_later_service(
    feed: FeedWriter, guards: Guards, caplog: pytest.LogCaptureFixture, fields: Any
) -> None:
    """It is no loss; whom it ends is not known, so its bucket is judged by `when_lost`."""
    closed = await guards.start()
    serving = await guards.start(when_lost="serve")
    token, other = new_token(), new_token(OTHER)
    ended = new_token(session_id=b"\7" * 12)
    feed.add(USER, *fields)

    async def unavailable() -> bool:
        return await verdict(closed, token) == "unavailable"

    await eventually(unavailable)
    feed.add(USER, *fields)
    feed.end(USER, b"\7" * 12)  # the next number: what comes after it is taken
    for guard in (closed, serving):
        await eventually(lambda guard=guard: refuses(guard, ended))
        assert await settled(guard, other) == "accepted"
        assert guard.counters.feed_losses == guard.counters.feed_rereads == 0
        assert guard.counters.feed_unknown == 2
    assert await settled(serving, token) == "accepted"
    assert serving.counters.served_stale
    told = [it for it in caplog.records if "does not know" in it.getMessage()]
    assert [it.levelno for it in told] == [logging.ERROR] * 2, "once in each guard"
    assert "upgrade openshow-guard first" in told[0].getMessage()
    assert told[0].getMessage().isprintable()
    assert len(told[0].getMessage()) < 400


async def test_an_unknown_kind_matters_for_a_life(
    feed: FeedWriter, guards: Guards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reckoned from when it was written, also for a guard that starts later."""
    monkeypatch.setattr("service.guard.verifier.FEED_SKEW", timedelta(seconds=0.5))
    now = time.time()
    feed.add(OTHER, "x", "1", id_=f"{int(now * 1000) - 903_000}-0")
    feed.add(USER, "x", "1", id_=f"{int(now * 1000) - 898_500}-0")
    guard = await guards.start(bound=0.2)
    assert await settled(guard, new_token(OTHER)) == "accepted"
    token = new_token(USER)

    async def accepted() -> bool:
        return await verdict(guard, token) == "accepted"

    await eventually(accepted)
    assert time.time() - now > 1.9
    assert guard.counters.feed_losses == 0
    assert guard.counters.feed_unknown == 1, "what matters no more is passed over"


MALFORMED: list[tuple[bytes | str | int, ...]] = [
    ("x", "y"), ("n", "1", "s", ""), ("n", "1", "u", USER, "t", "now"),
    ("n", "1", "g", "2", "t", AT), ("n", "9" * 5000, "s", bytes(12)),
]  # fmt: skip


@pytest.mark.parametrize("fields", MALFORMED, ids=range(len(MALFORMED)))
async def test_what_is_malformed_is_missing(
    keys: RedisServer, feed: FeedWriter, guards: Guards, fields: Any
) -> None:
    """Nobody knows what it was, nor whether it had the number that comes next."""
    with keys.client() as client:
        client.execute_command("XADD", bucket(USER).revoked, "*", *fields)
    guard = await guards.start(bound=0.5)
    assert await verdict(guard, new_token(USER)) == "unavailable"
    assert await settled(guard, new_token(OTHER)) == "accepted"
    assert guard.counters.feed_losses == 1
    assert guard.counters.feed_unknown == 0


async def test_it_is_remembered_for_a_token_of_a_clock_ahead(
    feed: FeedWriter, guards: Guards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that outlives the memory of ends finds the cut-off of its user all the same."""
    monkeypatch.setattr("service.guard.verifier.FEED_SKEW", timedelta(seconds=0.3))
    guard = await guards.start(access_ttl=1, bound=0.2)
    begin = int(time.time())
    token = new_token(opened_at=AT, iat=begin + 4, exp=begin + 5)
    assert await refuses(guard, token)
    feed.cut_off(USER)
    told = set()
    while time.time() < begin + 5.5:
        await asyncio.sleep(0.05)  # the feed's turn
        told.add(await settled(guard, token))
    assert told == {"refused"}

    async def forgotten() -> bool:
        return not any(map(len, guard._shards))

    await eventually(forgotten)
