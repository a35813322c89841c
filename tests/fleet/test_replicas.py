"""Changes that wait for replicas, and what is answered when too few acknowledge them."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from tools.testbed.sentinel import SentinelTrio
from tools.testbed.service_process import Person, code_of, sign_up
from tools.testbed.waiting import wait_until

from tests.support.fleet import Fleet, client_of

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
            async with client_of(pod, timeout=2) as client:  # as long as the contract gives it
                answer = await Person(client, ann.email, ann.tokens).log_out()
                assert code_of(answer) == UNCONFIRMED
                assert int(answer.headers["Retry-After"]) >= 1
    answer = await ann.log_out()
    assert code_of(answer) == (400, "session_not_found")
    assert (await ann.me()).status_code == 401


async def test_whoever_finds_nothing_left_to_end_waits_as_well(
    trio: SentinelTrio, ann: Person
) -> None:
    """The other ways to end a session: none says that it is over before a replica knows."""
    other, third = await ann.log_in(), await ann.log_in()
    with replicas_frozen(trio):
        assert code_of(await ann.end(other.session_id)) == UNCONFIRMED
        assert code_of(await ann.end(other.session_id)) == UNCONFIRMED
        assert code_of(await ann.log_out_everywhere(keepCurrent=True)) == UNCONFIRMED
        assert code_of(await ann.log_out_everywhere(keepCurrent=True)) == UNCONFIRMED
        assert code_of(await other.refresh()) == UNCONFIRMED
    assert code_of(await ann.end(other.session_id)) == (404, "session_not_found")
    assert (await ann.log_out_everywhere(keepCurrent=True)).json() == {"revoked": 0}
    assert code_of(await third.refresh()) == (401, "invalid_refresh_token")


async def test_a_refresh_that_nobody_acknowledges(trio: SentinelTrio, ann: Person) -> None:
    """No tokens that a failover could take back; the retry within the grace gives the same ones."""
    with replicas_frozen(trio):
        assert code_of(await ann.refresh()) == UNCONFIRMED
        assert code_of(await ann.refresh()) == UNCONFIRMED
    answer = await ann.refresh()
    assert answer.status_code == 200
    assert (await ann.holding(answer.json()).refresh()).status_code == 200


async def test_reading_goes_on(trio: SentinelTrio, ann: Person) -> None:
    """What changes nothing waits for nobody, also while changes do."""
    with replicas_frozen(trio):
        for _ in range(3):
            assert (await ann.me()).status_code == 200
            assert (await ann.sessions()).status_code == 200
    assert (await ann.log_out()).status_code == 204


def test_readiness_tells_what_is_in_force(trio: SentinelTrio, sentinel_fleet: Fleet) -> None:
    """Without a replica that listens a pod is not ready, and says why."""

    def redis() -> dict[str, object]:
        told: dict[str, object] = httpx.get(f"{sentinel_fleet.pods[0].url}/health/ready").json()
        assert isinstance(told["redis"], dict)
        return told["redis"]

    wait_until(lambda: redis()["ok"])
    for replica in trio.replicas():
        replica.kill()
    wait_until(lambda: not redis()["ok"])
    assert "cannot be confirmed" in str(redis()["message"])
    trio.heal()
    wait_until(lambda: redis()["ok"])
