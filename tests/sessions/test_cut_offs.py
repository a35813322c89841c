"""Cut-offs among people who sign in and refresh meanwhile, of 10,000 sessions, and of everybody."""

import asyncio
import ipaddress
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from tools.testbed.parts import CLIENT, LIVES, PATIENTLY, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, claims_of, code_of
from tools.testbed.waiting import eventually, wait_until

from service.accounts.passwords import PasswordHash
from service.accounts.user_rows import Credentials, User
from service.accounts.users import Users
from service.authentication.opening import SessionOpening
from service.errors import (
    AccountChanged,
    InvalidAccessToken,
    InvalidRefreshToken,
    NothingToRevoke,
    SettingsError,
)
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.sessions.owner import Owner
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions
from service.sessions.token_pair import TokenPair
from tests.sessions.scripted import (
    FEED_LIFE,
    INDEX as SCRIPTED_INDEX,
    USER as SCRIPTED_USER,
    Scripted,
)
from tests.support.keys import session_prefix
from tests.support.looking import ON_VALKEY, events

pytestmark = ON_VALKEY

USER = bytes(range(16, 32))
INDEX = bucket(USER).index + USER
ORIGINS = [
    RequestOrigin(ipaddress.ip_address(address), "a browser", f"request-{number}")
    for number, address in enumerate(
        ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "2001:db8:1::1", "10.0.0.1")
    )
]
Fields = dict[bytes, bytes]


@pytest.fixture
async def pods(keys: RedisServer) -> AsyncIterator[list[Parts]]:
    """Three service objects, each with connections of its own; a user may have many sessions."""
    clients = [RedisClient(keys.url, timing=PATIENTLY) for _ in range(3)]
    yield [Parts(client, LIVES, 100_000) for client in clients]
    for client in clients:
        await client.aclose()


def sat(pair: TokenPair) -> int:
    return int(claims_of(pair.access_token)["sat"])


def feed(server: RedisServer, user_id: bytes = USER) -> list[Fields]:
    with server.client() as client:
        return [entry for _, entry in client.xrange(bucket(user_id).revoked)]


async def lives(parts: Parts, pair: TokenPair) -> bool:
    try:
        await parts.sessions.current(parts.access_tokens.verify(pair.access_token))
    except InvalidAccessToken:
        return False
    return True


class Crowd:
    """People who sign in from six networks and refresh on three pods, as one user, until told."""

    def __init__(self, pods: list[Parts]) -> None:
        self.pods = pods
        self.newest: dict[bytes, TokenPair] = {}
        self.ended: set[bytes] = set()
        self.is_over = False

    async def sign_in(self, number: int) -> None:
        sessions = self.pods[number % 3].sessions
        while not self.is_over:
            pair = await sessions.open(
                USER, Authentication.PASSWORD, "user.loggedIn", ORIGINS[number]
            )
            self.newest[pair.session_id] = pair
            await asyncio.sleep(0.002)

    async def more(self) -> None:
        """Wait until so many have signed in that some have begun after this."""
        wanted = len(self.newest) + 2 * len(ORIGINS)

        async def have_signed_in() -> bool:
            return len(self.newest) >= wanted

        await eventually(have_signed_in)

    async def refresh(self, number: int) -> None:
        sessions = self.pods[number].sessions
        while not self.is_over:
            for session_id, pair in list(self.newest.items())[number::3]:
                if session_id in self.ended:
                    continue
                try:
                    self.newest[session_id] = await sessions.refresh(
                        pair.refresh_token, ORIGINS[number]
                    )
                except InvalidRefreshToken:
                    self.ended.add(session_id)
            await asyncio.sleep(0.001)


async def test_nothing_older_lives_and_everything_younger_does(
    pods: list[Parts], keys: RedisServer
) -> None:
    """Whatever comes at the same time, over three pods: for guards, who compare times, as here."""
    for _ in range(12):
        with keys.client() as client:
            client.flushall()
        crowd = Crowd(pods)
        counts = []
        async with asyncio.TaskGroup() as people:
            for number in range(6):
                people.create_task(crowd.sign_in(number))
            for number in range(3):
                people.create_task(crowd.refresh(number))
            for number in range(4):
                await crowd.more()
                cut_offs = pods[number % 3].sessions.cut_offs
                counts.append(await cut_offs.end_all(USER, CLIENT, reason="test"))
            await crowd.more()
            crowd.is_over = True
        entries = feed(keys)
        assert [entry.keys() for entry in entries] == [{b"n", b"u", b"t"}] * 4
        last = int(entries[-1][b"t"])
        younger = 0
        for session_id, pair in crowd.newest.items():
            is_younger = sat(pair) > last
            younger += is_younger
            assert await lives(pods[0], pair) == is_younger
            assert session_id not in crowd.ended or not is_younger
        assert len(crowd.newest) == sum(counts) + younger
        assert younger
        told = [row for row in events(keys, USER) if row["type"] == "user.sessionsEnded"]
        assert [int(row["count"]) for row in told] == counts


class Row(Users):
    """The user's row, which changes as the user store would have it."""

    def __init__(self) -> None:
        self.user = User(USER, "ada@example.com", datetime(2026, 1, 1, tzinfo=UTC))

    async def credentials(self, user_id: bytes) -> Credentials:
        read = self.user
        await asyncio.sleep(0)
        return Credentials(read, PasswordHash(1, ""))

    def owner(self, user_id: bytes) -> "asyncio.Future[Owner]":
        answer: asyncio.Future[Owner] = asyncio.get_running_loop().create_future()
        answer.set_result(Owner(sessions_from=self.user.sessions_from, is_known=True))
        return answer


class Noting(Sessions):
    """Notes by which version of the row the latest session was opened."""

    def __init__(self, pod: Parts) -> None:
        self.version = 0
        self._pod = pod

    async def open(self, *arguments: Any, **named: Any) -> TokenPair:
        version = arguments[-1]
        pair = await self._pod.sessions.open(*arguments, **named)
        self.version = version
        return pair

    async def withdraw(self, *arguments: Any) -> None:
        await self._pod.sessions.withdraw(*arguments)


async def test_logins_by_the_row_before_and_after_a_change(keys: RedisServer) -> None:
    """200 changes, each announced, written and published while people sign in: who has signed in by
    the new row stays, and nobody else does, wherever the change was killed, if it was."""
    row, clients = Row(), [RedisClient(keys.url, timing=PATIENTLY) for _ in range(3)]
    pods = [Parts(client, LIVES, 100_000, row.owner) for client in clients]
    is_over, opened = False, list[tuple[int, TokenPair]]()

    async def sign_in(number: int) -> None:
        sessions = Noting(pods[number % 3])
        opening = SessionOpening(row, sessions)
        while not is_over:
            read = await row.credentials(USER)
            await asyncio.sleep(0.002)
            try:
                found = await opening.open(
                    read, read.user.version, lambda now: True, Authentication.PASSWORD,
                    ORIGINS[number],
                )  # fmt: skip
            except AccountChanged:
                continue
            if found is not None:
                opened.append((sessions.version, found[1]))

    async with asyncio.TaskGroup() as people:
        for number in range(6):
            people.create_task(sign_in(number))
        for change in range(1, 201):
            cut_offs, killed = pods[change % 3].sessions.cut_offs, change % 4
            await cut_offs.announce(USER, CLIENT)
            await asyncio.sleep(0.001 * (change % 3))
            if killed == 1:
                continue
            row.user = msgspec.structs.replace(row.user, version=change, sessions_from=change)
            await asyncio.sleep(0.001 * (change % 2))
            if killed == 2:
                continue
            await cut_offs.end_all(USER, CLIENT, reason="test", row_version=change)
            with keys.client() as client:
                living = [sid for sid in client.hkeys(INDEX) if len(sid) == 12]
            by_id = {pair.session_id: version for version, pair in opened}
            assert all(by_id.get(sid, change) >= change for sid in living)
            for version, pair in list(opened):
                if version >= change:
                    assert await lives(pods[0], pair), (change, version)
            opened[:] = [(version, pair) for version, pair in opened if version >= change]
        is_over = True
    since = row.user.sessions_from
    for version, pair in opened:
        if version >= since:
            await pods[1].sessions.refresh(pair.refresh_token, CLIENT)
        else:
            with pytest.raises(InvalidRefreshToken):
                await pods[1].sessions.refresh(pair.refresh_token, CLIENT)
    for client in clients:
        await client.aclose()


FILL = """
local record = redis.call('GET', ARGV[2] .. redis.call('HGET', KEYS[1], ARGV[1]))
for number = 1, ARGV[3] do
  local sid, digest = struct.pack('>I12', number), struct.pack('>I16', number)
  redis.call('SET', ARGV[2] .. digest, record, 'EX', 3600)
  redis.call('HSET', KEYS[1], sid, digest)
end
"""
MANY = 10_000


async def test_ten_thousand_sessions(scripted: Scripted, keys: RedisServer) -> None:
    """As many commands as for two hundred, none of them about single sessions, one entry of the
    feed, one event; the index is freed beside what Redis does for others."""
    await scripted.publish(0)  # from now on the script is loaded
    calls = []
    with keys.client() as client:
        for number, beside in enumerate((200, MANY), 1):
            client.flushdb()
            await scripted.open(number)
            prefix = session_prefix(bytes(16))
            client.eval(FILL, 1, SCRIPTED_INDEX, b"%012d" % number, prefix, beside)
            await scripted.announce()
            client.config_resetstat()
            assert await scripted.publish(number) == beside + 1
            stats: dict[str, Any] = client.info("commandstats")
            stats.pop("cmdstat_xlen", None)  # asked in one of ten milliseconds
            calls.append(
                {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
            )
            assert len(feed(keys, bytes(16))) == 1
            assert len([row for row in events(keys, SCRIPTED_USER) if "count" in row]) == 1
            assert client.dbsize() >= beside, "the records stay, and expire"
            wait_until(lambda: client.info("memory")["lazyfreed_objects"])
    assert calls[0] == calls[1]
    assert calls[0].keys().isdisjoint({"hgetall", "del"})
    assert calls[0]["mget"] == 1, "the marks of the bucket"
    assert sum(calls[0].values()) < 25, calls


async def test_everybody(pods: list[Parts], keys: RedisServer) -> None:
    """In all 64 buckets, with one entry and one event each; who signs in afterwards stays."""
    user_ids = [bytes((number,)) + os.urandom(15) for number in range(64)]
    pairs = [await pods[0].open(user_id) for user_id in user_ids]
    await pods[1].sessions.cut_offs.everybody(CLIENT, reason="a leak", by="cli")
    with keys.client() as client:
        for user_id, pair in zip(user_ids, pairs, strict=True):
            [entry] = feed(keys, user_id)
            assert entry == {b"n": b"1", b"g": b"1", b"t": client.get(bucket(user_id).before)}
            assert sat(pair) <= int(entry[b"t"])
            [event] = [row for _, row in client.xrevrange(bucket(user_id).events, count=1)]
            assert (event[b"type"], event[b"user"]) == (b"sessions.cutOff", b"")
            assert (event[b"reason"], event[b"by"]) == (b"a leak", b"cli")
    sessions = pods[2].sessions
    for user_id, pair in zip(user_ids[::8], pairs[::8], strict=True):
        caller = pods[2].access_tokens.verify(pair.access_token)
        assert not await lives(pods[2], pair)
        with pytest.raises(InvalidRefreshToken):
            await sessions.refresh(pair.refresh_token, CLIENT)
        with pytest.raises(InvalidAccessToken):
            await sessions.revoke_all(caller, False, CLIENT)
        with pytest.raises(NothingToRevoke):
            await sessions.log_out(caller, pair.refresh_token, CLIENT)
        fresh = await pods[0].open(user_id)
        assert sat(fresh) > int(feed(keys, user_id)[0][b"t"])
        assert await lives(pods[1], await sessions.refresh(fresh.refresh_token, CLIENT))


@pytest.mark.one_server("the same on any")
async def test_everybody_where_guards_of_before_run(pods: list[Parts], keys: RedisServer) -> None:
    """Is refused by a line that names the setting, with nothing done."""
    pair = await pods[0].open(USER)
    with pytest.raises(SettingsError, match=r"^SERVICE_FEED_KINDS=1: [^\n]+$"):
        await CutOffs(pods[0].link, FEED_LIFE, 1).everybody(CLIENT, reason="x", by="cli")
    assert await lives(pods[0], pair)
    assert feed(keys) == []


async def test_everybody_over_http(person: Person, parts: Parts, keys: RedisServer) -> None:
    """Every call says what it says of a session that has ended; the next login is a login."""
    other = await person.log_in()
    await parts.sessions.cut_offs.everybody(CLIENT, reason="a leak", by="cli")
    assert code_of(await person.log_out()) == (400, "session_not_found")
    assert code_of(await person.log_out()) == (400, "session_not_found")
    for answer in (other.me(), other.sessions(), other.log_out_everywhere()):
        assert code_of(await answer) == (401, "unauthorized")
    assert code_of(await other.refresh()) == (401, "invalid_refresh_token")
    fresh = await person.log_in()
    assert (await fresh.me()).status_code == 200
    assert len((await fresh.sessions()).json()["sessions"]) == 1
    assert (await fresh.refresh()).status_code == 200
