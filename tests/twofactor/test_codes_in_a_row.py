"""After fifty wrong TOTP codes at login in a row the wait doubles, until there is a right one."""

import asyncio
from datetime import timedelta

import pytest
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.errors import InvalidCode, StoreUnavailable, TooManyAttempts
from service.rate_limits import Limit, Limits, RateLimits
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.twofactor.limits import Door, limited_codes
from tests.support.looking import ON_VALKEY
from tests.support.script_clock import ScriptClock

pytestmark = [ON_VALKEY, pytest.mark.one_server("what is counted is each server's own")]

BOB = bytes(range(16))
CODE, RECOVERY = "123456", "ABCD-EFGH-JKMN-PQRS"
MINUTE, DAY = 60, 86_400


class Login:
    """Somebody who enters codes, by a clock of the test's."""

    def __init__(self, clock: ScriptClock, limits: Limits | None = None) -> None:
        self.clock = clock
        self.rate_limits = RateLimits(clock, b"k" * 32, limits)
        self.at = 0

    def pass_time(self, seconds: float) -> None:
        self.at += round(seconds * 1000)
        self.clock.move(self.at)

    async def enters(
        self, code: str = CODE, door: Door = "login", error: type[Exception] | None = InvalidCode
    ) -> int:
        """How long it is said to wait, seconds; 0 if the code was judged."""
        try:
            async with limited_codes(self.rate_limits, BOB, code, door):
                if error:
                    raise error
        except TooManyAttempts as refused:
            return refused.retry_after
        except (InvalidCode, StoreUnavailable):
            pass
        return 0

    async def wrong(self, number: int) -> None:
        """So many wrong ones, each as soon as it is let in."""
        for _ in range(number):
            if wait := await self.enters():
                assert wait <= 15 * MINUTE or number > 51
                self.pass_time(wait)
                assert await self.enters() == 0


@pytest.fixture
def login(clock: ScriptClock) -> Login:
    return Login(clock)


async def test_the_wait_doubles_up_to_a_day(login: Login, keys: RedisServer) -> None:
    """A quarter of an hour after the fiftieth, twice as long after each further one, and never more
    than a day; to the millisecond; who is refused is not counted."""
    await login.wrong(50)
    for minutes in (15, 30, 60, 120, 240, 480, 960, 1440, 1440, 1440, 1440):
        for _ in range(3):
            assert await login.enters() == minutes * MINUTE
        login.pass_time(minutes * MINUTE - 0.001)
        assert await login.enters(error=None) == 1, "right ones wait, too"
        login.pass_time(0.001)
        assert await login.enters() == 0
    with keys.client() as client:
        (key,) = client.scan_iter("attempts:*:codes-in-a-row:*")
        assert key.startswith(bucket(BOB).attempts)
        assert client.llen(key) == 57, "as many as tell how long one waits"
        assert timedelta(milliseconds=client.pttl(key)) > timedelta(days=364)


async def test_a_year_of_it(login: Login) -> None:
    """Whoever goes on at every chance has entered 420 codes in the first year."""
    tried = 0
    while login.at < 365 * DAY * 1000:
        if wait := await login.enters():
            login.pass_time(wait)
        else:
            tried += 1
    assert tried == 420


@pytest.mark.parametrize(
    ("code", "door"),
    [(CODE, "login"), (CODE, "session"), (RECOVERY, "login"), (RECOVERY, "session")],
)
async def test_a_right_one_ends_it(login: Login, code: str, door: Door) -> None:
    """At login once it is time for it, otherwise at any time; then there are fifty again."""
    await login.wrong(53)
    if (code, door) == (CODE, "login"):
        login.pass_time(await login.enters())
    assert await login.enters(code, door, error=None) == 0
    assert await login.enters() == 0
    await login.wrong(49)
    assert await login.enters() == 15 * MINUTE


@pytest.mark.parametrize(("code", "door"), [(CODE, "session"), (RECOVERY, "login")])
async def test_other_wrong_ones_do_not_count(login: Login, code: str, door: Door) -> None:
    """Neither TOTP codes in a session nor recovery codes make the login wait, nor end the wait."""
    for _ in range(60):
        if wait := await login.enters(code, door):
            login.pass_time(wait)
    await login.wrong(49)
    assert await login.enters() == 0
    assert await login.enters(code, door) == 0
    assert await login.enters() == 15 * MINUTE


async def test_what_was_not_looked_at_does_not_count(login: Login) -> None:
    """A store that was away is not the person's fault, nor a right code."""
    await login.wrong(49)
    login.pass_time(15 * MINUTE)
    for _ in range(10):
        assert await login.enters(error=StoreUnavailable) == 0
    assert await login.enters() == 0
    assert await login.enters() == 15 * MINUTE


async def test_one_of_many_at_once_is_the_fiftieth(keys: RedisServer) -> None:
    """Of forty over two processes one is judged: the others wait as if it were wrong already."""
    links = [RedisClient(keys.url, timing=PATIENTLY) for _ in range(2)]
    limits = Limits(codes=Limit("codes", 1000, timedelta(minutes=15)))
    pods = [RateLimits(link, b"k" * 32, limits) for link in links]
    judged = 0

    async def enter(pod: RateLimits) -> None:
        nonlocal judged
        async with limited_codes(pod, BOB, CODE, "login"):
            judged += 1
            raise InvalidCode

    for _ in range(49):
        with pytest.raises(InvalidCode):
            await enter(pods[0])
    found = await asyncio.gather(
        *(enter(pods[number % 2]) for number in range(40)), return_exceptions=True
    )
    assert judged == 50
    assert sum(isinstance(error, TooManyAttempts) for error in found) == 39
    for link in links:
        await link.aclose()


async def test_a_right_one_does_not_end_those_after_it(login: Login, keys: RedisServer) -> None:
    """What is under way when a right one comes in stays counted: it may be wrong."""
    limits = login.rate_limits
    async with limited_codes(limits, BOB, RECOVERY, "session"):
        login.pass_time(1)
        await login.enters()
    with keys.client() as client:
        (key,) = client.scan_iter("attempts:*:codes-in-a-row:*")
        assert client.llen(key) == 1


@pytest.mark.parametrize(
    ("first", "waits", "kept"), [(6, (6, 12, 24, 24, 24), 5), (48, (24, 24, 24), 4)]
)
async def test_the_list_is_as_long_as_the_wait_asks_for(
    clock: ScriptClock, keys: RedisServer, first: int, waits: tuple[int, ...], kept: int
) -> None:
    """Where a doubled wait is just a day, and where the first is longer than a day."""
    hours = timedelta(hours=1)
    limits = Limits(
        codes=Limit("codes", 100, hours),
        codes_in_a_row=Limit("codes-in-a-row", 3, first * hours, 24 * hours),
    )
    login = Login(clock, limits)
    assert [await login.enters() for _ in range(3)] == [0, 0, 0]
    for wait in waits:
        assert await login.enters() == wait * 60 * MINUTE
        login.pass_time(wait * 60 * MINUTE)
        assert await login.enters() == 0
    with keys.client() as client:
        lengths = {key.split(b":")[2]: client.llen(key) for key in client.scan_iter("attempts:*")}
    assert lengths == {b"codes-in-a-row": kept, b"codes": 1}
