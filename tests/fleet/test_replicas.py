"""Changes that wait for replicas, and what is answered when too few acknowledge them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.fleet import Fleet, client_of
from tests.support.sentinel import SentinelTrio
from tests.support.service_process import Person, code_of, sign_up

UNCONFIRMED = (503, "revocation_unconfirmed")


@contextmanager
def replicas_frozen(trio: SentinelTrio) -> Iterator[None]:
    replicas = trio.replicas()
    for replica in replicas:
        replica.freeze()
    try:
        yield
    finally:
        for replica in replicas:
            replica.resume()


async def timed(call: object) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = await call  # type: ignore[misc]
    return answer, time.monotonic() - began


@pytest.fixture
async def ann(on_sentinel: httpx.AsyncClient) -> Person:
    """Somebody who has just signed up."""
    return await sign_up(on_sentinel)


async def test_a_logout_that_nobody_acknowledges(
    trio: SentinelTrio, sentinel_fleet: Fleet, ann: Person
) -> None:
    """503 within the time promised, again for each retry at any pod, then an honest answer."""
    with replicas_frozen(trio):
        for pod in (*sentinel_fleet.pods, sentinel_fleet.pods[0]):
            async with client_of(pod) as client:
                there = Person(client, ann.email, ann.tokens)
                answer, took = await timed(there.log_out())
                assert code_of(answer) == UNCONFIRMED
                assert int(answer.headers["Retry-After"]) >= 1
                assert took < 2
    answer = await ann.log_out()
    assert code_of(answer) == (400, "session_not_found")
    assert (await ann.me()).status_code == 401


async def test_reading_goes_on(trio: SentinelTrio, ann: Person) -> None:
    """What changes nothing waits for nobody, also while changes do."""
    with replicas_frozen(trio):
        for _ in range(3):
            assert (await ann.me()).status_code == 200
            assert (await ann.sessions()).status_code == 200
    assert (await ann.log_out()).status_code == 204
