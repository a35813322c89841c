"""Strangers do not shut out a network in which a session of the account lives: nor does it them."""

import asyncio
import ipaddress
import os
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tools.testbed.parts import PATIENTLY, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD

from service.authentication.account_limits import AccountLimits, LimitInForce
from service.errors import InvalidCode, InvalidCredentials, TooManyAttempts
from service.rates import Rate
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.redis.preamble import Bounds
from service.sessions.networks import lives_in_network
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions
from service.twofactor.limits import Door, limited_codes
from service.web.services import Services
from tests.support.looking import ON_VALKEY, watching
from tests.support.run_queue import Stopwatch
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.support.user_stores import SqliteStore
from tests.twofactor.pods import Pod, Somebody, Watch, running

pytestmark = [ON_VALKEY, pytest.mark.one_server("what is counted is each server's own")]

HOME = "192.0.2.7"
"""Where `CLIENT` is, who signs up: the rest of 192.0.2.0/24 is the same network."""


def at(address: str, user_agent: str = "another browser") -> RequestOrigin:
    given = ipaddress.ip_address(address) if address else None
    return RequestOrigin(given, user_agent, "request-2")


class Account:
    """Somebody who has signed up at `HOME`, where their session lives."""

    def __init__(self, pod: Pod, somebody: Somebody) -> None:
        self.services: Services = pod.services
        self.sessions: Sessions = pod.services.sessions
        self.somebody = somebody
        attempts = pod.services.accounts._attempts
        self.limits = AccountLimits(attempts._redis, attempts._rate_limits)

    async def tries(self, address: str, password: str = "a wrong one", email: str = "") -> object:
        """`True`: in · `False`: wrong · else how long to wait, seconds."""
        try:
            await self.services.accounts.log_in(
                email or self.somebody.user.email, password, at(address)
            )
        except InvalidCredentials:
            return False
        except TooManyAttempts as refused:
            return refused.retry_after
        return True

    async def strangers(self, number: int) -> list[object]:
        """Wrong tries from as many networks."""
        return [await self.tries(f"198.51.{each}.1") for each in range(number)]

    async def in_force(self) -> dict[str, int]:
        found = await self.limits.in_force(self.somebody.user)
        assert all(isinstance(each, LimitInForce) for each in found)
        return {each.limit: each.retry_after for each in found}


@pytest.fixture
async def ann(keys: RedisServer, tmp_path: Path) -> AsyncIterator[Account]:
    """An account that five wrong passwords from anywhere, and three from a network, shut."""
    store = SqliteStore(tmp_path)
    rates = {
        "limit_account": Rate(5, timedelta(hours=1)),
        "limit_account_network": Rate(3, timedelta(minutes=15)),
    }
    async with running(Watch(), keys.url, store, tmp_path, count=1, **rates) as pods:
        yield Account(pods.all[0], await pods.sign_up())


async def test_a_network_with_a_session_is_not_shut_out(ann: Account) -> None:
    """By any number of strangers; others are. It stays so as long as that session lives."""
    assert await ann.strangers(5) == [False] * 5
    assert await ann.tries("203.0.113.1", PASSWORD) in range(3590, 3601)
    assert await ann.tries("192.0.2.200") is False, "wrong passwords stay wrong"
    assert await ann.tries("192.0.2.201", PASSWORD) is True
    for inside in ("::ffff:192.0.2.3", "64:ff9b::192.0.2.3"):
        assert await ann.tries(inside, PASSWORD) is True
    assert await ann.tries("192.0.3.7", PASSWORD) in range(3590, 3601), "the next network"
    await ann.sessions.revoke_all(ann.somebody.caller, False, at(HOME))
    assert await ann.tries(HOME, PASSWORD) in range(3590, 3601)


async def test_its_own_limit_stays(ann: Account) -> None:
    """Three wrong ones from there, and there right ones wait, too: 15 minutes, not an hour."""
    await ann.strangers(5)
    assert [await ann.tries(HOME) for _ in range(3)] == [False] * 3
    assert await ann.tries(HOME, PASSWORD) in range(890, 901)


async def test_its_tries_do_not_count_for_others(ann: Account, keys: RedisServer) -> None:
    """Wrong ones from there leave strangers, or their owner elsewhere, as many as before."""
    assert [await ann.tries(HOME) for _ in range(3)] == [False] * 3
    assert await ann.tries(HOME) in range(890, 901)
    assert await ann.strangers(5) == [False] * 5
    assert await ann.tries("203.0.113.1") in range(3590, 3601)
    with keys.client() as client:
        lengths = sorted(client.llen(key) for key in client.scan_iter("attempts:*:account:*"))
    assert lengths == [5]


async def test_each_network_of_each_session(ann: Account) -> None:
    """IPv6 by /64; who is nowhere known; where a session was refreshed last, not where it began."""
    user = ann.somebody.user
    for address in ("2001:db8:1:2::1", ""):
        await ann.sessions.open(user.id, Authentication.PASSWORD, "user.loggedIn", at(address))
    moving = await ann.sessions.open(
        user.id, Authentication.PASSWORD, "user.loggedIn", at("203.0.113.1")
    )
    await ann.sessions.refresh(moving.refresh_token, at("203.0.114.1"))
    await ann.strangers(5)
    for address in ("2001:db8:1:2:3:4:5:6", "", "203.0.114.2", HOME):
        assert await ann.tries(address, PASSWORD) is True, address
    for address in ("2001:db8:1:3::1", "203.0.113.2", "2001:db8:1::2"):
        assert await ann.tries(address, PASSWORD) is not True, address


async def test_another_session_of_nobody(ann: Account) -> None:
    """A session of another account in that network opens nothing, and nobody has an own one."""
    unknown = f"{secrets.token_hex(4)}@example.com"
    for number in range(5):
        assert await ann.tries(f"198.51.{number}.1", email=unknown) is False
    assert await ann.tries(HOME, email=unknown) in range(3590, 3601)


async def test_racing_from_both_sides(ann: Account) -> None:
    """Of forty from strangers and forty from home at once, five and three are judged."""
    found = await asyncio.gather(
        *(ann.tries(f"198.51.{number}.1") for number in range(40)),
        *(ann.tries("192.0.2.9") for _ in range(40)),
    )
    assert found[:40].count(False) <= 5
    assert found[40:].count(False) == 3
    await ann.strangers(5)
    assert await ann.tries("203.0.113.1") in range(3590, 3601)


async def test_the_ordinary_login_asks_for_nothing_more(ann: Account, keys: RedisServer) -> None:
    """A right password below the limits: the records are not looked at."""
    with watching(keys) as seen:
        assert await ann.tries("203.0.113.1", PASSWORD) is True
    assert len([each for each in seen.from_clients if each.upper().startswith("EVAL")]) == 5


async def test_who_has_no_account_costs_the_same(ann: Account, keys: RedisServer) -> None:
    """A wrong password and an unknown address: as many calls, below the limit and at it."""
    unknown = f"{secrets.token_hex(4)}@example.com"
    for _ in range(6):
        calls = []
        for email in (ann.somebody.user.email, unknown):
            with watching(keys) as seen:
                await ann.tries(
                    f"198.{secrets.randbelow(50)}.{secrets.randbelow(250)}.1", email=email
                )
            calls.append(len(seen.from_clients))
        assert calls[0] == calls[1]


async def test_records_of_another_version(ann: Account, keys: RedisServer) -> None:
    """Of one that cannot be read nothing is known: it opens nothing and breaks nothing."""
    user, redis = ann.somebody.user, ann.limits._redis
    assert await lives_in_network(redis, user.id, at(HOME))
    assert not await lives_in_network(redis, os.urandom(16), at(HOME))
    with keys.client() as client:
        (key,) = client.scan_iter("session:*")
        whole = client.get(key)
        for changed in (b"\x09" + whole[1:], whole[:22], b"", whole[:10]):
            client.set(key, changed, keepttl=True)
            assert not await lives_in_network(redis, user.id, at(HOME)), changed
        client.set(key, whole, keepttl=True)
        index = bucket(user.id).index + user.id
        client.hset(index, "something else", "x")
        assert await lives_in_network(redis, user.id, at(HOME))
        opened = int.from_bytes(whole[5:11])
        for cut_off, lives in ((opened - 1, True), (opened, False)):
            client.set(bucket(user.id).before, cut_off)
            assert await lives_in_network(redis, user.id, at(HOME)) == lives


async def test_one_of_many_sessions(ann: Account, keys: RedisServer) -> None:
    """The first and the last of 1,010: they are read a thousand at a time."""
    user, link = os.urandom(16), ann.limits._redis
    many = Parts(link, most_per_user=2000)
    networks = {}
    for number in range(1010):
        network = f"10.{number // 250}.{number % 250}"
        pair = await many.sessions.open(
            user, Authentication.PASSWORD, "user.loggedIn", at(f"{network}.1")
        )
        networks[pair.session_id] = network
    with keys.client() as client:
        listed = client.hkeys(bucket(user).index + user)
    for session_id in (listed[0], listed[999], listed[1000], listed[-1]):
        assert await lives_in_network(link, user, at(networks[session_id] + ".200"))
    assert not await lives_in_network(link, user, at("10.200.1.1"))


async def test_limits_in_force_are_shown_and_forgiven(ann: Account) -> None:
    """Those that are reached, with how long they last; afterwards the account is as new, from every
    network, also where a limit was nearly reached."""
    assert await ann.in_force() == {}
    user, since = ann.somebody.user, Stopwatch()
    for address in ("203.0.113.1", HOME):
        assert [await ann.tries(address) for _ in range(3)] == [False] * 3
    shown = await ann.limits.in_force(user)
    assert [each.limit for each in shown] == ["account_network"] * 2
    assert all(899 - since.all <= each.retry_after <= 900 for each in shown)
    assert [await ann.tries("203.0.114.1") for _ in range(2)] == [False] * 2
    in_force = await ann.in_force()
    assert in_force["account"] in range(3590, 3601)
    await ann.limits.forgive(user)
    assert await ann.in_force() == {}
    assert [await ann.tries("203.0.114.1") for _ in range(3)] == [False] * 3
    assert await ann.tries("203.0.114.1") in range(890, 901)
    assert await ann.tries("203.0.113.1", PASSWORD) is True
    assert list(await ann.in_force()) == ["account_network"], "it is noted anew"
    await ann.limits.forgive(user)
    await ann.limits.forgive(user)
    assert await ann.in_force() == {}


async def test_codes_and_calls_are_forgiven(ann: Account, keys: RedisServer) -> None:
    """Wrong codes of each kind, those in a row, and calls: nothing counted is left."""
    user, rate_limits = ann.somebody.user, ann.limits._rate_limits
    given: list[tuple[str, Door]] = [("123456", "login"), ("123456", "session"), ("", "login")]
    for code, door in given:
        for _ in range(10):
            with pytest.raises(InvalidCode):
                async with limited_codes(rate_limits, user.id, code, door):
                    raise InvalidCode
    bounded = RedisClient(
        keys.url, bounds=Bounds(calls=Rate(60, timedelta(minutes=1))), timing=PATIENTLY
    )
    limited = Parts(bounded)
    await limited.sessions.revoke_all(ann.somebody.caller, True, at(HOME))
    token = await limited.open(user.id)
    await limited.sessions.refresh(token.refresh_token, at(HOME))
    await bounded.aclose()
    for call in ("enable", "reauthenticate"):
        await rate_limits.count_call(user.id, call)
    await rate_limits.count(user.id, [rate_limits.of_user(rate_limits.limits.exports, user.id)])
    with keys.client() as client:
        counted = {key.split(b":")[2] for key in client.scan_iter("attempts:*")}
        assert {b"calls", b"refresh", b"logout-all", b"codes", b"codes-in-a-row"} <= counted
    assert list(await ann.in_force()) == [
        "codes.login",
        "codes.session",
        "codes.recovery",
        "exports",
    ]
    await ann.limits.forgive(user)
    with keys.client() as client:
        left = {key.split(b":")[2] for key in client.scan_iter("attempts:*")}
    assert left == {b"signups", b"account-noted"}
    assert await ann.in_force() == {}


async def test_what_is_noted_does_not_grow(ann: Account, keys: RedisServer) -> None:
    """Networks that shut themselves out are noted, and dropped when that matters no more."""
    user, account = ann.somebody.user, ann.limits
    home, _, noted = account._of_passwords(user)
    name = bucket(home).attempts + b"account-noted:" + noted.subject
    with keys.client() as client:
        for number in range(200):
            client.hset(name, b"attempts:{00}:account-network:" + bytes((number,)) * 16, "1")
        client.pexpire(name, 60_000)
        assert [await ann.tries("203.0.113.1") for _ in range(3)] == [False] * 3
        assert client.hlen(name) == 1
        assert 0 < client.pttl(name) <= 900_000
    assert list(await ann.in_force()) == ["account_network"]
