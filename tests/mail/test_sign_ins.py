"""A sign-in from elsewhere is told: no living session has its network or its user agent."""

import ipaddress
import os
from collections.abc import AsyncIterator

import pytest
from tools.testbed.parts import PATIENTLY, Parts
from tools.testbed.redis_server import RedisServer

from service.accounts.user_rows import User
from service.authentication.sign_in_notices import SignInNotices
from service.clock import system_clock
from service.mail.messages import Kind
from service.mail.notices import NO_NOTICES, Notices
from service.redis.client import RedisClient
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication
from tests.support.looking import ON_VALKEY, watching

pytestmark = ON_VALKEY
USER = User(os.urandom(16), "ann@example.com", system_clock())
LAPTOP, PHONE = "Mozilla/5.0 (X11; Linux) Firefox/133.0", "Mozilla/5.0 (iPhone) Safari/604.1"
LONG = "an agent of many words " * 30


class Told(Notices):
    """Notices that only say what was told."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[Kind] = []

    are_on = True  # type: ignore[assignment]  # a property of the others

    def tell(self, kind: Kind, user: User | bytes, origin: RequestOrigin) -> None:
        self.kinds.append(kind)


def at(address: str | None, user_agent: str) -> RequestOrigin:
    return RequestOrigin(ipaddress.ip_address(address) if address else None, user_agent, "request")


@pytest.fixture
async def parts(keys: RedisServer) -> AsyncIterator[Parts]:
    redis = RedisClient(keys.url, timing=PATIENTLY)
    yield Parts(redis)
    await redis.aclose()


async def is_told(parts: Parts, living: list[RequestOrigin], now: RequestOrigin) -> bool:
    """Whether a sign-in beside these living sessions is told."""
    await parts.link.execute("DEL", *[b"sessions:{%02x}:%b" % (USER.id[0] & 63, USER.id)])
    for origin in living:
        await parts.sessions.open(USER.id, Authentication.PASSWORD, "user.loggedIn", origin)
    notices = Told()
    watch = SignInNotices(parts.link, notices)
    watch.tell(USER, await watch.living(USER.id), now)
    assert notices.kinds in ([], ["sign_in"])
    return bool(notices.kinds)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (at("192.0.2.99", PHONE), False),  # a network that is known
        (at("203.0.113.1", LAPTOP), False),  # a program that is known
        (at("203.0.113.1", PHONE), True),
        (at("192.0.3.7", PHONE), True),
        (at("2001:db8::7", PHONE), True),
        (at("::ffff:192.0.2.1", PHONE), False),  # an IPv4 address inside IPv6 is that
        (at(None, PHONE), True),
        (at("203.0.113.1", ""), True),
    ],
)
async def test_beside_one_session(parts: Parts, now: RequestOrigin, told: bool) -> None:
    """Told if both its network and its program are unknown."""
    assert await is_told(parts, [at("192.0.2.7", LAPTOP)], now) is told


async def test_beside_none_or_several(parts: Parts) -> None:
    """Who has no living session is told nothing; of several, one that is alike is enough."""
    elsewhere = at("203.0.113.1", PHONE)
    assert not await is_told(parts, [], elsewhere)
    assert not await is_told(parts, [at("192.0.2.7", LAPTOP), at("198.51.100.1", PHONE)], elsewhere)
    assert not await is_told(parts, [at("192.0.2.7", LONG)], at("203.0.113.1", LONG))
    assert await is_told(parts, [at(None, ""), at("192.0.2.7", LAPTOP)], elsewhere)


async def test_where_nothing_is_told_nothing_is_asked(parts: Parts, keys: RedisServer) -> None:
    """A login costs no more than it did."""
    await parts.sessions.open(USER.id, Authentication.PASSWORD, "user.loggedIn", at(None, ""))
    watch = SignInNotices(parts.link, NO_NOTICES)
    with watching(keys) as seen:
        watch.tell(USER, await watch.living(USER.id), at("203.0.113.1", PHONE))
    assert seen.from_clients == []
