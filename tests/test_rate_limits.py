"""Limits on attempts: exact under races, true about when to come back, fair to everybody else."""

import asyncio
import ipaddress
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import (
    PASSWORD,
    PATIENT,
    Person,
    ServiceProcess,
    code_of,
    sign_up,
)
from tools.testbed.waiting import eventually

from service.composition import limits as composed_limits
from service.composition.shared import create_redis_client
from service.errors import (
    InvalidCredentials,
    KeyServiceUnavailable,
    Overloaded,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
)
from service.rate_limits import Counter, Limit, Limits, RateLimits
from service.rates import Rate
from service.redis.client import RedisClient
from service.sessions.origin import network
from service.settings import Secret, Settings
from tests.support.living import lend
from tests.support.looking import ON_VALKEY
from tests.support.run_queue import Stopwatch

HOME = bytes(16)
LIMITED = (429, "rate_limited")
REFUSED = (401, "invalid_credentials")


@pytest.fixture
async def rate_limits(keys: RedisServer) -> AsyncIterator[RateLimits]:
    redis_client = RedisClient(keys.url, timing=PATIENTLY)
    yield RateLimits(redis_client, b"k" * 32)
    await redis_client.aclose()


def limited(
    rate_limits: RateLimits, most: int, window: timedelta, name: str = "test"
) -> list[Counter]:
    return [Counter(Limit(name, most, window), rate_limits.subject("somebody"))]


async def counts(rate_limits: RateLimits, counters: list[Counter]) -> bool:
    try:
        await rate_limits.count(HOME, counters)
    except TooManyAttempts:
        return False
    return True


async def test_racers_share_one_limit(keys: RedisServer, rate_limits: RateLimits) -> None:
    """Of 200 attempts over two pods, exactly as many count as may."""
    other_link = RedisClient(keys.url, timing=PATIENTLY)
    other = RateLimits(other_link, b"k" * 32)
    counters = limited(rate_limits, 10, timedelta(minutes=1))
    race = (counts(each, counters) for _ in range(100) for each in (rate_limits, other))
    assert sum(await asyncio.gather(*race)) == 10
    await other_link.aclose()


async def test_any_window_holds_at_most_the_limit(rate_limits: RateLimits) -> None:
    """Not only windows that begin with an attempt: a sliding one, tried without a pause."""
    window = timedelta(milliseconds=300)
    counters = limited(rate_limits, 5, window)
    loop = asyncio.get_running_loop()
    admitted: list[float] = []
    while len(admitted) < 16:
        before = loop.time()
        if await counts(rate_limits, counters):
            admitted.append(before)
            counted_by = loop.time()
            if len(admitted) > 5:
                assert counted_by - admitted[-6] >= window.total_seconds()


async def test_retry_after_is_true(rate_limits: RateLimits) -> None:
    """Refused until the time it names, rounded up to a second; then one more is let in."""
    counters = limited(rate_limits, 2, timedelta(milliseconds=900))
    counted, wait = 0, None
    while wait is None:  # two, unless this machine stood still and the first has left the window
        try:
            await rate_limits.count(HOME, counters)
        except TooManyAttempts as refusal:
            wait = refusal.retry_after
        else:
            counted += 1
    assert counted >= 2
    assert wait == 1
    await asyncio.sleep(wait)
    assert await counts(rate_limits, counters)


async def test_a_refused_attempt_does_not_count(rate_limits: RateLimits) -> None:
    """Hammering at a closed door does not keep it closed."""
    counters = limited(rate_limits, 1, timedelta(milliseconds=400))
    assert await counts(rate_limits, counters)
    await eventually(lambda: counts(rate_limits, counters))


def test_the_limits_in_force() -> None:
    """Those of `docs/security.md`, unless a setting says otherwise."""
    quarter, hour = timedelta(minutes=15), timedelta(hours=1)
    assert {
        limit.name: (limit.most, limit.window) for limit in msgspec.structs.astuple(Limits())
    } == {
        "account-network": (10, quarter),
        "account": (100, hour),
        "network": (300, quarter),
        "signups": (600, hour),
        "codes": (10, quarter),
        "codes-in-a-row": (50, quarter),
        "calls": (60, timedelta(minutes=1)),
        "exports": (1, hour),
        "api-keys": (100, quarter),
        "resets": (20, quarter),
        "provider-starts": (300, quarter),
    }


def test_each_setting_sets_its_own(keys: RedisServer) -> None:
    """And no other; what may be off is off with `SERVICE_RATE_LIMIT=off`, and nothing else is."""
    rates: dict[str, Any] = {
        f"limit_{name}": Rate(number, timedelta(minutes=number))
        for number, name in enumerate(
            ("account_network", "account", "network", "signups", "codes", "calls"), start=2
        )
    }
    for on in (True, False):
        settings = Settings(**rates, limit_codes_in_a_row=20, rate_limit=on)
        limits = composed_limits._limits(settings)
        day = timedelta(days=1)
        assert limits.codes_in_a_row == Limit("codes-in-a-row", 20, timedelta(minutes=6), day)
        for name, rate in rates.items():
            limit = getattr(limits, name.removeprefix("limit_"))
            if not on and name in ("limit_network", "limit_signups", "limit_calls"):
                assert limit is None
            else:
                assert (limit.most, limit.window) == (rate.most, rate.window)
        client = create_redis_client(msgspec.structs.replace(settings, redis_url=keys.url))
        assert f"= 20000, {7 if on else 0}, " in client.before_changing, "calls in scripts"


async def test_calls_are_limited(keys: RedisServer) -> None:
    """Of one name and one user; where they are not limited, no Redis is asked."""
    redis_client = RedisClient(keys.url, timing=PATIENTLY)
    limits = Limits(calls=Limit("calls", 2, timedelta(minutes=1)))
    rate_limits = RateLimits(redis_client, b"k" * 32, limits)
    for call in ("enable", "refresh"):
        await rate_limits.count_call(HOME, call)
        await rate_limits.count_call(HOME, call)
        with pytest.raises(TooManyAttempts):
            await rate_limits.count_call(HOME, call)
    await rate_limits.count_call(b"b" * 16, "enable")
    await redis_client.aclose()
    nobody = RateLimits(RedisClient(Secret("redis://127.0.0.1:1")), b"k" * 32, Limits(calls=None))
    await nobody.count_call(HOME, "enable")
    async with nobody.limited(HOME, []):
        pass


async def test_all_limits_or_none(rate_limits: RateLimits, keys: RedisServer) -> None:
    """What one limit refuses is not counted under another."""
    narrow = limited(rate_limits, 1, timedelta(minutes=1), "narrow")
    wide = limited(rate_limits, 100, timedelta(minutes=1), "wide")
    for _ in range(3):
        await counts(rate_limits, [*narrow, *wide])
    with keys.client() as client:
        lengths = {key.split(b":")[2]: client.llen(key) for key in client.scan_iter("attempts:*")}
    assert lengths == {b"narrow": 1, b"wide": 1}


@pytest.mark.parametrize("failure", [Overloaded(3), StoreUnavailable("gone"), RuntimeError("x")])
async def test_what_was_not_looked_at_is_taken_back(
    rate_limits: RateLimits, keys: RedisServer, failure: Exception
) -> None:
    """Shed, or a store away, or a defect: not the person's fault. A right one is taken back too."""
    counters = limited(rate_limits, 3, timedelta(minutes=1))
    for _ in range(10):
        with pytest.raises(type(failure)):
            async with rate_limits.limited(HOME, counters):
                raise failure
        async with rate_limits.limited(HOME, counters):
            pass
    with keys.client() as client:
        assert client.keys("attempts:*") == []


async def test_a_wrong_one_and_a_cancelled_one_stay_counted(rate_limits: RateLimits) -> None:
    """Hanging up before the answer is no way around the limit."""
    counters = limited(rate_limits, 2, timedelta(minutes=1))
    with pytest.raises(InvalidCredentials):
        async with rate_limits.limited(HOME, counters):
            raise InvalidCredentials

    async def hang_up() -> None:
        async with rate_limits.limited(HOME, counters):
            asyncio.current_task().cancel()  # type: ignore[union-attr]
            await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(hang_up())
    assert not await counts(rate_limits, counters)


async def test_an_unconfirmed_one_stays_counted(rate_limits: RateLimits) -> None:
    """Without its replicas, Redis has judged the code all the same: it may have been wrong."""
    counters = limited(rate_limits, 1, timedelta(minutes=1))
    with pytest.raises(RevocationUnconfirmed):
        async with rate_limits.limited(HOME, counters):
            raise RevocationUnconfirmed
    assert not await counts(rate_limits, counters)


@ON_VALKEY
async def test_losing_redis_in_the_middle_is_told_in_time(keys: RedisServer) -> None:
    """Two guards that cannot take back what they counted still answer within the two seconds."""
    redis_client = RedisClient(keys.url)
    rate_limits = RateLimits(redis_client, b"k" * 32)
    counters = limited(rate_limits, 3, timedelta(minutes=1))
    since = None

    async def lose_it() -> None:
        nonlocal since
        async with rate_limits.limited(HOME, counters), rate_limits.limited(HOME, counters):
            keys.freeze()
            since = Stopwatch()

    try:
        with pytest.raises(StoreUnavailable):
            await lose_it()
        assert since
        assert since.own < 2
    finally:
        keys.resume()
        await redis_client.aclose()


async def test_only_digests_reach_redis(rate_limits: RateLimits, keys: RedisServer) -> None:
    """Keys hold keyed digests: no subject, and under another key another digest."""
    subject = rate_limits.subject("account", "ann@example.com")
    assert len(subject) == 16
    assert subject != RateLimits(RedisClient(keys.url), b"x" * 32).subject(
        "account", "ann@example.com"
    )
    assert subject != rate_limits.subject("accountann@example.com")
    assert rate_limits.subject("lone surrogate \ud800")
    await rate_limits.count(subject, [Counter(Limit("n", 1, timedelta(minutes=1)), subject)])
    with keys.client() as client:
        (key,) = client.keys()
        assert key == b"attempts:{%02x}:n:" % (subject[0] & 63) + subject
        assert 0 < client.pttl(key) <= 60_000
        assert client.lrange(key, 0, -1)[0].isdigit()


async def test_nothing_is_digested_without_a_key(keys: RedisServer) -> None:
    """While the keys are not open no subject is made under an empty one, and nothing is counted."""
    redis_client = RedisClient(keys.url)
    rate_limits = RateLimits(redis_client, b"")
    with pytest.raises(KeyServiceUnavailable):
        rate_limits.subject("account", "ann@example.com")
    with pytest.raises(KeyServiceUnavailable):
        await rate_limits.count_call(bytes(16), "enable")
    with keys.client() as client:
        assert client.keys("attempts:*") == []
    rate_limits.use(b"k" * 32)
    assert rate_limits.subject("account", "ann@example.com")
    await redis_client.aclose()


@pytest.mark.parametrize(("address", "counted"), [
    ("192.0.2.7", "192.0.2.0/24"), ("192.0.2.255", "192.0.2.0/24"), ("192.0.3.7", "192.0.3.0/24"),
    ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ("::ffff:192.0.2.9", "192.0.2.0/24"),
])  # fmt: skip
def test_networks(address: str, counted: str) -> None:
    """IPv4 by /24, IPv6 by /64, IPv4 in IPv6 as IPv4."""
    assert network(ipaddress.ip_address(address)) == counted


def test_unknown_addresses_are_one_network() -> None:
    """Behind a unix socket nobody gets a limit of their own by being unknown."""
    assert network(None) == "unknown"


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def proxied_service(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service behind a proxy on this machine, so that tests can come from anywhere."""
    directory = tmp_path_factory.mktemp("proxied")
    service = ServiceProcess(
        directory,
        redis_server.url,
        SERVICE_TRUSTED_PROXIES="127.0.0.1/32",
        SERVICE_RATE_LIMIT="on",
        **PATIENT,
    )
    yield from lend("proxied_service", service)


@pytest.fixture
async def proxied(
    proxied_service: ServiceProcess, keys: RedisServer
) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=proxied_service.url, timeout=30) as client:
        yield client


async def log_in(
    http: httpx.AsyncClient, email: str, password: str, source: str = "192.0.2.1"
) -> httpx.Response:
    return await http.post(
        "/auth/login",
        json={"email": email, "password": password},
        headers={"X-Forwarded-For": source},
    )


@ON_VALKEY
async def test_after_ten_wrong_passwords_right_ones_wait_too(proxied: httpx.AsyncClient) -> None:
    """From that network; another one of the same person's goes on, IPv6 counted by /64."""
    person, since = await sign_up(proxied), Stopwatch()
    for number in range(10):
        answer = await log_in(proxied, person.email.upper(), "wrong", f"192.0.2.{number}")
        assert code_of(answer) == REFUSED
    answer = await log_in(proxied, person.email, PASSWORD, "192.0.2.99")
    assert code_of(answer) == LIMITED
    assert 899 - since.all <= int(answer.headers["retry-after"]) <= 900
    assert (await log_in(proxied, person.email, PASSWORD, "192.0.3.1")).status_code == 200
    assert (await log_in(proxied, person.email, PASSWORD, "2001:db8::1")).status_code == 200
    assert code_of(await log_in(proxied, person.email, PASSWORD, "::ffff:192.0.2.3")) == LIMITED
    neighbour = await sign_up(proxied)
    assert (await log_in(proxied, neighbour.email, PASSWORD)).status_code == 200
    assert (await person.me()).status_code == 200, "sessions go on"
    assert (await person.refresh()).status_code == 200


@ON_VALKEY
async def test_racing_wrong_passwords(proxied: httpx.AsyncClient) -> None:
    """Of forty at once ten are looked at, for an account that exists and for one that does not."""
    person = await sign_up(proxied)
    for email in (person.email, f"{secrets.token_hex(4)}@example.com"):
        answers = await asyncio.gather(*(log_in(proxied, email, "wrong pass") for _ in range(40)))
        statuses = [code_of(answer) for answer in answers]
        assert (statuses.count(REFUSED), statuses.count(LIMITED)) == (10, 30)


@ON_VALKEY
async def test_right_passwords_do_not_count(proxied: httpx.AsyncClient) -> None:
    """Whoever knows the password may log in all day; nine slips before do not matter."""
    person = await sign_up(proxied)
    for _ in range(9):
        assert code_of(await log_in(proxied, person.email, "wrong")) == REFUSED
    for _ in range(12):
        assert (await log_in(proxied, person.email, PASSWORD)).status_code == 200
    assert code_of(await log_in(proxied, person.email, "wrong")) == REFUSED
    assert code_of(await log_in(proxied, person.email, PASSWORD)) == LIMITED


@ON_VALKEY
async def test_an_account_has_a_limit_over_all_networks(proxied: httpx.AsyncClient) -> None:
    """A hundred an hour from anywhere: spreading a guess over networks does not help."""
    person = await sign_up(proxied)
    for number in range(100):
        answer = await log_in(proxied, person.email, "wrong", f"198.51.{number}.1")
        assert code_of(answer) == REFUSED, number
    answer = await log_in(proxied, person.email, PASSWORD, "203.0.113.1")
    assert code_of(answer) == LIMITED
    assert 3500 <= int(answer.headers["retry-after"]) <= 3600
    at_home = {"email": person.email, "password": PASSWORD}
    answer = await proxied.post("/auth/login", json=at_home)
    assert answer.status_code == 200, "where the session lives that signing up has opened"


async def test_without_a_trusted_proxy_the_header_is_ignored(person: Person) -> None:
    """Who writes X-Forwarded-For themselves is counted under their own address all the same."""
    for number in range(10):
        answer = await log_in(person.client, person.email, "wrong", f"198.51.{number}.1")
        assert code_of(answer) == REFUSED
    assert code_of(await log_in(person.client, person.email, PASSWORD, "203.0.113.1")) == LIMITED


# --- places for hashes ------------------------------------------------------------------------


@pytest.fixture
async def costly(
    redis_server: RedisServer, tmp_path: Path, keys: RedisServer
) -> AsyncIterator[httpx.AsyncClient]:
    """A service whose hashes take long enough to wait for, behind a proxy."""
    service = ServiceProcess(
        tmp_path,
        redis_server.url,
        SERVICE_TRUSTED_PROXIES="127.0.0.1/32",
        SERVICE_RATE_LIMIT="on",
        SERVICE_BCRYPT_COST="9",
        **PATIENT,
    ).start()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=service.url, timeout=60, limits=limits) as client:
        yield client
    assert service.stop() == 0


@ON_VALKEY
async def test_right_passwords_of_one_network_keep_nobody_out(costly: httpx.AsyncClient) -> None:
    """Six accounts, sixty connections and right passwords: somebody else logs in all the same, and
    what is beyond the network's share is 503 with a time to come back."""
    crowd = [await sign_up(costly) for _ in range(6)]
    victim = await sign_up(costly)
    answers: list[httpx.Response] = []
    over = asyncio.Event()

    async def keep_logging_in(email: str) -> None:
        while not over.is_set():
            answers.append(await log_in(costly, email, PASSWORD, "192.0.2.1"))

    crowding = [
        asyncio.create_task(keep_logging_in(crowd[number % 6].email)) for number in range(60)
    ]

    async def crowded() -> bool:
        return any(answer.status_code == 503 for answer in answers)

    await eventually(crowded)
    outcomes = [
        (await log_in(costly, victim.email, PASSWORD, "203.0.113.1")).status_code for _ in range(5)
    ]
    over.set()
    await asyncio.gather(*crowding)
    assert outcomes == [200] * 5
    assert {answer.status_code for answer in answers} <= {200, 429, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert code_of(refused) == (503, "service_unavailable")
    assert int(refused.headers["retry-after"]) >= 1


@ON_VALKEY
async def test_unknown_addresses_have_a_limit(proxied: httpx.AsyncClient) -> None:
    """Who comes with an address that is none is of one network with all others of the kind."""
    statuses = set()
    for number in range(11):
        email = "somebody@example.com"
        answer = await log_in(proxied, email, "wrong password", f"unknown{number}")
        statuses.add(code_of(answer))
    assert statuses == {REFUSED, LIMITED}
