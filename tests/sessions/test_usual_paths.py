"""What stands before a general script, for the usual case, does to each key what that would do."""

import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

import pytest
from tools.testbed.parts import CLIENT, LIVES, MAC_KEYS, access_tokens
from tools.testbed.redis_server import RedisServer

from service.clock import system_clock
from service.errors import ClockWrong, UnknownLayout
from service.rates import parse
from service.redis.preamble import Bounds
from service.sessions.record import Authentication
from service.sessions.refresh_tokens import RefreshTokens
from service.sessions.sessions import OpeningEvent, Sessions
from tests.sessions.scripted import (
    DAY,
    DEVICE,
    HOUR,
    INDEX,
    NAMES,
    USER,
    Scripted,
    digest,
    key,
    record,
    sid,
)
from tests.support.looking import ON_VALKEY, events
from tests.support.script_clock import ScriptClock
from tests.twofactor import scripted as twofactor

pytestmark = ON_VALKEY

AGO, MINUTE = 2 * HOUR, 60_000
"""How long ago the session was opened; how long a call is counted."""

BLIND = """
local sighted, blind = redis, true
local redis = {call = function(command, ...)
  if blind and command == 'HMGET' then blind = false return {} end
  return sighted.call(command, ...)
end}"""
"""Hides the session from the first look, so that all is left to the general script."""

START = int(time.time()) * 1000 + 999
"""When it was opened, ms since 1970: the same for both."""

DEVICES = [DEVICE, b"\0", b"\x10" + bytes(16) + b"x", b"\x05abcdef", b"\x10short", b""]
NOTED = [None, b"7", b"?1 0 5", b"?x", b"x"]
RECORDS: list[dict[str, Any]] = [
    {}, {"row": 7, "flags": 1}, {"row": 2**53 - 1, "flags": 2}, {"row": 2**53, "flags": 1},
    {"last_proof": 5, "proof": 15}, {"proof": 7 + 8 + 32 * 2}, {"proof": 7 + 16 + 32 * 5},
    {"flags": 4, "proof": 5}, {"life": AGO + MINUTE}, {"used": AGO - MINUTE + 1},
    {"last_proof": 2**32}, {"last_proof": 2**34, "row": 7}, {"last_proof": 2**32, "life": 2**32},
    {"used": AGO - MINUTE}, {"generation": 0, "used": AGO - 1}, {"opened": AGO + HOUR},
]  # fmt: skip
ROTATIONS: list[dict[str, Any]] = [
    {}, {"sure": 1}, {"target": 1}, {"proved": 2}, {"idle_life": 1_000}, {"idle_life": HOUR * 99},
    {"presented": digest(1, 2)}, {"ahead": -MINUTE}, {"ahead": 1 - MINUTE}, {"ahead": MINUTE},
    {"ahead": MINUTE - 1}, {"valid": 0}, {"valid": 1},
]  # fmt: skip
BEGINNINGS: list[dict[str, Any]] = [
    {}, {"since": 7}, {"since": 8}, {"most": 2}, {"caller": b""}, {"caller": sid(2)}
]  # fmt: skip


Case = tuple[Callable[[Any, int], None], dict[str, Any]]
"""What stores a state, and what a script is called with."""


def stored(keys: RedisServer) -> dict[Any, Any]:
    """All keys: what is there, whether for ever, and of sessions until when."""
    found: dict[Any, Any] = {}
    with keys.client() as client:
        for name in client.scan_iter():
            if name == NAMES.revoked:
                found[name] = client.xlen(name)
            elif name != NAMES.events:
                exactly = name.startswith(b"session")
                life = client.pexpiretime(name) if exactly else client.pttl(name) > 0
                found[name] = client.dump(name), life
    return found | {"events": [row | {"id": ""} for row in events(keys, USER)]}


async def outcome(
    keys: RedisServer,
    state: Callable[[Any, int], None],
    call: Callable[[ScriptClock], Awaitable[Any]],
    bounds: Bounds,
    shim: str,
) -> Any:
    """Call a script in this state. Return its answer, and what is there then."""
    clock = ScriptClock(keys, bounds)
    clock.start = START
    clock.move(AGO)
    clock.before_changing += shim
    with keys.client() as client:
        client.flushall()
        state(client, clock.start)
    try:
        answer = await call(clock)
    except UnknownLayout:
        answer = "unknown"
    finally:
        await clock.aclose()
    return answer, stored(keys)


def state(
    given: dict[str, Any], device: bytes, noted: bytes | None, before: int | None
) -> Callable[[Any, int], None]:
    """Make a function that stores a session, what is noted of its row, and a cut-off."""

    def store(client: Any, start: int) -> None:
        usual: dict[str, Any] = {"generation": 1, "opened": start, "used": 9, "device": device}
        usual |= {"opened": start + given["opened"]} if "opened" in given else {}
        rest = {name: value for name, value in given.items() if name != "opened"}
        client.set(key(1, 1), record(**(usual | rest)), pxat=start + HOUR)
        client.hset(INDEX, sid(1), digest(1, 1))
        client.pexpireat(INDEX, start + HOUR)
        if noted is not None:
            client.hset(INDEX, "v", noted)
        if before is not None:
            client.set(NAMES.before, start + before)

    return store


STATES = [
    *((given, DEVICE, None, None) for given in RECORDS),
    *(({}, device, None, None) for device in DEVICES),
    *(({"row": 7}, DEVICE, noted, None) for noted in NOTED),
    *(({"row": 7}, b"\x04", None, before) for before in (-1, 0, 1)),
]


@pytest.mark.parametrize("calls", [None, "60/1m"])
async def test_rotations(keys: RedisServer, calls: str | None) -> None:
    """Whatever is stored, and whatever is asked."""
    bounds = Bounds(calls=parse(calls) if calls else None)
    cases: list[Case] = [(state(*each), {}) for each in STATES]
    cases += [(state({"flags": 2}, DEVICE, b"7", None), each) for each in ROTATIONS]
    cases += [(state({}, DEVICE, b"?1 0 5", None), each) for each in ROTATIONS]
    for number, (stored_before, given) in enumerate(cases):

        async def rotate(clock: ScriptClock, given: dict[str, Any] = given) -> Any:
            ahead, valid = given.get("ahead", 0), given.get("valid", HOUR)
            rest = {name: each for name, each in given.items() if name not in ("ahead", "valid")}
            times = {"clock": clock.now + ahead, "valid_until": clock.now + valid}
            return await Scripted(clock).rotate(1, 1, **(times | rest))

        found = [await outcome(keys, stored_before, rotate, bounds, shim) for shim in ("", BLIND)]
        assert found[0] == found[1], (number, given)


async def test_beginnings_of_an_enrolment(keys: RedisServer) -> None:
    """The same, with what was pending and what was counted before."""
    cases: list[Case] = [(state(*each), {"caller": sid(1)}) for each in STATES]
    cases += [(state({"row": 7}, DEVICE, b"7", None), {"caller": sid(1)} | g) for g in BEGINNINGS]

    def beside(before: Callable[[Any, int], None], put: str) -> Callable[[Any, int], None]:
        def store(client: Any, start: int) -> None:
            before(client, start)
            if put == "pending":
                client.set(twofactor.PENDING, twofactor.pending(3, 4), px=HOUR)
            elif put == "short":
                client.set(twofactor.PENDING, twofactor.pending(3, 4)[1:], px=HOUR)
            elif put == "another kind":
                client.lpush(twofactor.PENDING, "x")
                client.expire(twofactor.PENDING, 99)
            elif put == "counted":
                client.rpush(twofactor.CALLS, (start + AGO) * 1000, (start + AGO) * 1000)
                client.expire(twofactor.CALLS, 99)

        return store

    last = cases[-len(BEGINNINGS)]
    for put in ("pending", "short", "another kind", "counted"):
        cases += [(beside(last[0], put), last[1] | {"most": most}) for most in (0, 2)]
    for number, (stored_before, given) in enumerate(cases):

        async def begin(clock: ScriptClock, given: dict[str, Any] = given) -> Any:
            answer = await twofactor.begin(clock, **given)
            return "begun" if isinstance(answer, int) else answer

        found = [await outcome(keys, stored_before, begin, Bounds(), shim) for shim in ("", BLIND)]
        assert found[0] == found[1], (number, given)


OPENINGS: list[dict[str, Any]] = [
    {}, {"v": "7"}, {"v": "?1 0 5"}, {"c": -1}, {"c": 0}, {"before": -1}, {"before": 0},
    {"longer": DAY}, {"longer": MINUTE}, {"others": 48}, {"others": 49},
    {"ahead": 59}, {"ahead": 61},
]  # fmt: skip


@pytest.mark.parametrize("given", OPENINGS, ids=str)
async def test_sessions_that_are_opened_together(
    keys: RedisServer, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    """For tools, two of each user: as logins leave them, key by key, whatever was there."""
    users = [USER, USER[:1] + bytes(15)]

    def store(client: Any, start: int) -> None:
        now = start + AGO
        if "v" in given:
            client.hset(INDEX, "v", given["v"])
        if "c" in given:
            client.hset(INDEX, "c", now + given["c"])
        if "before" in given:
            client.set(NAMES.before, now + given["before"])
        if "longer" in given or "others" in given:
            for number in range(given.get("others", 1)):
                client.hset(INDEX, sid(number), digest(number))
                client.set(key(number), record(0, start, 0), pxat=now + 20 * DAY)
            client.pexpireat(INDEX, now + given.get("longer", 20 * DAY))

    async def open_all(clock: ScriptClock, together: bool) -> Any:
        drawn = count()
        monkeypatch.setattr(os, "urandom", lambda size: b"r%0*d" % (size - 1, next(drawn)))
        seen = datetime.fromtimestamp(clock.now / 1000 + given.get("ahead", 0), UTC)
        signing = access_tokens(ahead=seen - system_clock())
        sessions = Sessions(clock, RefreshTokens(MAC_KEYS, 2), signing, LIVES, 50)
        people = [(user, CLIENT) for user in users for _ in range(2)]
        how: tuple[Authentication, OpeningEvent] = Authentication.PASSWORD, "user.loggedIn"
        try:
            if together:
                return await sessions.open_many(people, *how)
            return [await sessions.open_unsigned(who, *how, origin) for who, origin in people]
        except ClockWrong:
            return "clock"
        finally:
            monkeypatch.undo()

    found = [
        await outcome(keys, store, partial(open_all, together=together), Bounds(), "")
        for together in (True, False)
    ]
    assert found[0] == found[1]
    assert (found[0][0] == "clock") is (given.get("ahead") == 61)
