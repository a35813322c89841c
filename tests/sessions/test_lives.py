"""How long sessions live: Redis itself lets them expire."""

import asyncio
from datetime import datetime, timedelta

import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, code_of
from tools.testbed.waiting import eventually

from service.redis.keys import bucket
from tests.support.looking import session_keys

INVALID = (401, "invalid_refresh_token")


def at(shown: str) -> datetime:
    """A time as the contract spells it."""
    assert shown.endswith("Z")
    assert len(shown) == len("2026-01-01T00:00:00.000Z")
    return datetime.fromisoformat(shown)


async def ended(person: Person) -> bool:
    return (await person.me()).status_code == 401


@pytest.mark.one_server("expiry is each server's own")
async def test_an_idle_session_ends(brief: Person) -> None:
    """Looking at it all the time does not keep it: only a refresh moves the idle clock."""
    before = (await brief.me()).json()["session"]
    assert at(before["expiresAt"]) - at(before["createdAt"]) == timedelta(seconds=2)
    await eventually(lambda: ended(brief))
    assert code_of(await brief.refresh()) == INVALID
    # The access token ends with the session, to the second: on a busy machine it is over by now.
    over = (400, "session_not_found"), (401, "unauthorized")
    assert code_of(await brief.log_out()) in over


@pytest.mark.one_server("expiry is each server's own")
async def test_refreshing_does_not_outlive_the_absolute_life(brief: Person) -> None:
    """Refreshed again and again, a session still ends four seconds after it was opened."""
    shown = (await brief.me()).json()["session"]
    opened, expiries = at(shown["createdAt"]), [at(shown["expiresAt"])]
    while (answer := await brief.refresh()).status_code == 200:
        brief = brief.holding(answer.json())
        me = await brief.me()
        if me.status_code == 200:
            expiries.append(at(me.json()["session"]["expiresAt"]))
        assert expiries[-1] - opened <= timedelta(seconds=4)
        await asyncio.sleep(0.02)
    assert code_of(answer) == INVALID
    assert expiries == sorted(expiries)
    assert expiries[-1] - opened == timedelta(seconds=4), "the earlier of idle and absolute"


async def test_expires_at_is_the_keys_own_deadline(person: Person, keys: RedisServer) -> None:
    """What is shown is what Redis will do; reading moves nothing, a refresh moves it on."""
    with keys.client() as client:

        def deadline() -> int:
            (key,) = session_keys(keys)
            return int(client.pexpiretime(key))

        first = (await person.me()).json()["session"]
        assert round(at(first["expiresAt"]).timestamp() * 1000) == deadline()
        assert at(first["expiresAt"]) - at(first["lastUsedAt"]) == timedelta(days=14)
        assert (await person.me()).json()["session"] == first
        await person.sessions()
        assert round(at(first["expiresAt"]).timestamp() * 1000) == deadline()
        fresh = person.holding((await person.refresh()).json())
        second = (await fresh.me()).json()["session"]
        assert second["createdAt"] == first["createdAt"]
        assert at(second["expiresAt"]) > at(first["expiresAt"])
        assert at(second["expiresAt"]) - at(second["lastUsedAt"]) == timedelta(days=14)
        assert round(at(second["expiresAt"]).timestamp() * 1000) == deadline()


async def test_the_index_lives_as_long_as_its_longest_session(
    person: Person, keys: RedisServer
) -> None:
    """And up to 1/128 longer: another login and another refresh move its end where they pass it."""
    index = bucket(person.user_id).index + person.user_id
    other = await person.log_in()
    with keys.client() as client:

        def spare() -> int:
            longest = max(int(client.pexpiretime(key)) for key in session_keys(keys))
            return int(client.pexpiretime(index)) - longest

        most = 14 * 24 * 3_600_000 // 128
        assert 0 <= spare() <= most
        await person.refresh()
        assert 0 <= spare() <= most
        await other.log_out()
        assert 0 <= spare() <= most
