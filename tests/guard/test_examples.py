"""The examples of docs/examples, each run as a process beside the service."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tools.testbed.access import GUARD
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, ServiceProcess
from tools.testbed.waiting import eventually

from tests.guard.pod_process import PodProcess
from tests.support.looking import ON_VALKEY
from tests.support.two_factor import new_holder

EXAMPLES = ["orders_litestar", "orders_fastapi"]


@pytest.fixture
def pod(
    request: pytest.FixtureRequest,
    service: ServiceProcess,
    redis_server: RedisServer,
    tmp_path: Path,
    guard_wheel: Path,
) -> Iterator[PodProcess]:
    """An example on the feed, whose Redis user may read that and nothing else."""
    redis_url = redis_server.url_of(GUARD)
    pod = PodProcess(tmp_path, guard_wheel, request.param, service.url, redis_url).start()
    yield pod
    pod.stop()


@ON_VALKEY
@pytest.mark.parametrize("pod", EXAMPLES, indirect=True)
async def test_a_logout_reaches_the_pod(pod: PodProcess, person: Person) -> None:
    """Until it, the token counts there; from then on never again. No other session minds."""
    other = await person.log_in()
    async with httpx.AsyncClient(base_url=pod.url) as orders:
        assert (await orders.get("/orders")).status_code == 401
        for session in (person, other):
            answer = await orders.get("/orders", headers=session.bearer)
            assert (answer.status_code, answer.json()) == (200, {"ordersOf": person.user_id.hex()})
        assert (await person.log_out()).status_code == 204

        async def refused() -> bool:
            return (await orders.get("/orders", headers=person.bearer)).status_code == 401

        await eventually(refused)
        answer = await orders.get("/orders", headers=person.bearer)
        assert (
            answer.headers["www-authenticate"] == 'Bearer realm="openshow", error="invalid_token"'
        )
        assert answer.json()["error"]["code"] == "unauthorized"
        assert (await orders.get("/orders", headers=other.bearer)).status_code == 200
    pod.stop()
    assert "Application shutdown complete" in pod.output()


@ON_VALKEY
@pytest.mark.parametrize("pod", ["orders_fastapi"], indirect=True)
async def test_a_payment_takes_a_second_factor(pod: PodProcess, http: httpx.AsyncClient) -> None:
    """A login by password alone does not do; one with a code does."""
    ann = await (await new_holder(http)).enrol()
    async with httpx.AsyncClient(base_url=pod.url) as shop:
        answer = await shop.post("/payments", headers=ann.bearer)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "insufficient_user_authentication"
        stepped = await ann.answer(await ann.challenge(), ann.phone.code(1))
        assert stepped.status_code == 200
        answer = await shop.post("/payments", headers=ann.holding(stepped.json()).bearer)
        assert (answer.status_code, answer.json()) == (200, {"paidBy": ann.user_id.hex()})
