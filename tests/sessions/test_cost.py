"""What a call costs Redis, counted by Redis itself."""

from collections.abc import Awaitable, Callable

import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, code_of, sign_up

from service.redis.keys import bucket
from tests.support.keys import session_prefix
from tests.support.looking import watching

pytestmark = pytest.mark.one_server("MONITOR watches one server")

FEW, MANY = 100, 100_000

MULTIPLY = """
-- Give the user of the index KEYS[1] ARGV[3] more sessions like the one with the id ARGV[1],
-- numbered from ARGV[4]; ARGV[2] is the prefix of session keys.
local record = redis.call('GET', ARGV[2] .. redis.call('HGET', KEYS[1], ARGV[1]))
for number = ARGV[4] + 1, ARGV[4] + ARGV[3] do
  local sid, digest = struct.pack('>I12', number), struct.pack('>I16', number)
  redis.call('SET', ARGV[2] .. digest, record, 'EX', 3600)
  redis.call('HSET', KEYS[1], sid, digest)
end
"""


async def test_one_round_trip_each(person: Person, keys: RedisServer) -> None:
    """Logout, refresh, me, the list and the ends of sessions are one command of one client each."""
    other = await person.log_in()
    third = await person.log_in()
    await third.log_out_everywhere(keepCurrent=True)  # now each script is loaded
    person = await sign_up(person.client)
    await person.sessions()
    await person.end("0" * 24)
    await person.log_out("osr_")
    await (await person.log_in()).log_out()
    await person.me()
    tokens = (await person.refresh()).json()
    other = await person.log_in()
    calls = [
        person.me(), person.sessions(), person.holding(tokens).refresh(),
        person.end(other.session_id), person.log_out_everywhere(keepCurrent=True), person.log_out(),
    ]  # fmt: skip
    for call in calls:
        with watching(keys) as seen:
            assert (await call).status_code < 300
        assert seen.from_clients == ["EVALSHA"], call


COMMANDS = {
    "me": "HMGET MGET PEXPIRETIME",
    "refresh": "HMGET MGET TIME SET HSET PEXPIRETIME DEL SET XADD",
    "enable": "HMGET MGET SET XADD PEXPIRETIME",
    "login": "TIME HGET LINDEX LINDEX LINDEX LINDEX RPUSH PEXPIRE RPUSH PEXPIRE LREM LREM"
    " TIME HMGET HLEN GET SET HSET PEXPIRETIME XADD",
    "logout": "MGET HDEL DEL XADD INCR XADD",
}
ROUND_TRIPS = {"me": 1, "refresh": 1, "enable": 1, "login": 3, "logout": 1}
"""What each call runs inside its scripts, in order; and how many scripts."""


async def test_the_commands_of_each_call(person: Person, keys: RedisServer) -> None:
    """Whoever adds a command to a busy call sees it here: each is paid for by all who log out."""
    other, *others = [await person.log_in() for _ in range(9)]
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "me": person.me,
        "refresh": lambda: others.pop().refresh(),
        "enable": lambda: person.client.post("/auth/2fa/enable", headers=person.bearer),
        "login": person.log_in,
        "logout": lambda: others.pop().log_out(),
    }
    for warm in (other.me, other.refresh):
        await warm()
    await person.client.post("/auth/2fa/enable", headers=other.bearer)
    await (await person.log_in()).log_out()  # now each script is loaded
    found, trips = {}, {}
    for name, call in calls.items():
        least: list[str] | None = None
        for _ in range(4):  # less what goes on in the background
            with watching(keys) as seen:
                await call()
            if least is None or len(seen.in_scripts) < len(least):
                least = seen.in_scripts
                trips[name] = seen.from_clients.count("EVALSHA")
        found[name] = " ".join(least or ())
    assert trips == ROUND_TRIPS
    assert found == COMMANDS


@pytest.mark.parametrize("new_user_store", ["sqlite"], indirect=True)  # which no logout asks
async def test_logout_costs_the_same_with_100_and_100_000_sessions(
    person: Person, keys: RedisServer
) -> None:
    """One round trip and the same commands inside, though the caller owns all those sessions."""
    sessions = [await person.log_in() for _ in range(3)]
    await sessions[0].log_out()
    costs = []
    total = len(sessions)
    with keys.client() as client:
        client.set(bucket(person.user_id).revocations, 64)  # each 64th entry trims the feed as well
    for wanted, session in zip((FEW, MANY), sessions[1:], strict=True):
        multiply(keys, person, wanted - total, first=wanted)
        total = wanted
        with keys.client() as client:
            index = bucket(person.user_id).index + person.user_id
            assert client.hlen(index) == total
        with watching(keys) as seen:
            assert (await session.log_out()).status_code == 204
        assert seen.from_clients == ["EVALSHA"]
        costs.append([each for each in seen.in_scripts if each != "XLEN"])  # in one of ten ms
        total -= 1
    with keys.client() as client:
        client.flushall()
    assert costs[0] == costs[1]
    assert 3 <= len(costs[0]) <= 8, costs


def multiply(server: RedisServer, person: Person, how_many: int, first: int) -> None:
    """More sessions for a person, made on the server itself."""
    keys, step = bucket(person.user_id), 10_000
    with server.client() as client:
        for begin in range(0, how_many, step):
            client.eval(
                MULTIPLY,
                1,
                keys.index + person.user_id,
                bytes.fromhex(person.session_id),
                session_prefix(person.user_id),
                min(step, how_many - begin),
                first + begin,
            )


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
async def test_junk_costs_no_command(person: Person, keys: RedisServer, path: str) -> None:
    """Malformed, misspelt, forged and another's tokens are refused without asking Redis."""
    good = person.tokens["refreshToken"]
    forged = [good[:-1] + ("A" if good[-1] != "A" else "B"), good + "=", "osr_" + "A" * 120]
    with watching(keys) as seen:
        for junk in ("x", "osr_", good.upper(), *forged):
            answer = await person.client.post(
                path, json={"refreshToken": junk}, headers=person.bearer
            )
            assert code_of(answer) in ((401, "invalid_refresh_token"), (400, "session_not_found"))
        refused = await person.client.get("/auth/me", headers={"Authorization": "Bearer " + good})
        assert refused.status_code == 401
    assert seen.from_clients == []
