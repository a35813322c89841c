"""Three pods are restarted one after the other, and clients behind a balancer do not notice."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, Person, ServiceProcess
from tools.testbed.waiting import eventually

from tests.support.balancer import Balancer, balancing
from tests.support.callers import Crowd, crowd

pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True)


@pytest.fixture
def pods(keys: RedisServer, tmp_path: Path) -> Iterator[list[ServiceProcess]]:
    """Three pods on the same stores. One has two workers."""
    started = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        pod = ServiceProcess(
            tmp_path / str(number),
            keys.url,
            SERVICE_DATA_DIR=str(tmp_path / "var"),
            SERVICE_WORKERS="1" if number else "2",
            SERVICE_DRAIN_DELAY="1",
            SERVICE_LOG_LEVEL="warning",
            **PATIENT,
        )
        started.append(pod.start())
    yield started
    for pod in started:
        pod.stop()


async def has(balancer: Balancer, ready: int) -> bool:
    return balancer.ready == ready


async def all_answered(callers: Crowd, before: list[int]) -> bool:
    return all(now > then + 10 for now, then in zip(totals(callers), before, strict=True))


def totals(callers: Crowd) -> list[int]:
    return [sum(caller.answers.values()) for caller in callers.callers]


async def test_nobody_notices(pods: list[ServiceProcess]) -> None:
    """No request is lost or refused, each chain of refreshes goes on, a logout ends it for all."""
    async with balancing(lambda: [pod.url for pod in pods if pod.process]) as balancer:
        await eventually(lambda: has(balancer, 3))
        async with crowd(balancer.url, size=4, pause=0.02) as callers:  # pods must be able to start
            for pod in pods:
                await eventually(lambda: all_answered(callers, [0] * len(callers.callers)))
                assert await asyncio.to_thread(pod.stop) == 0
                with callers.calm():
                    await asyncio.to_thread(pod.start)
                await eventually(lambda: has(balancer, 3))
                before = totals(callers)
                await eventually(lambda before=before: all_answered(callers, before))
        assert callers.lost == []
        assert callers.reset <= 1, "as in test_draining.py"
        assert callers.refused == 0
        assert set(callers.answers) == {200}
        async with httpx.AsyncClient(base_url=balancer.url, timeout=30) as client:
            for caller in callers.callers:
                person = Person(client, caller.person.email, caller.person.tokens)
                assert (await person.log_out()).status_code == 204
        for pod in pods:
            async with httpx.AsyncClient(base_url=pod.url, timeout=30) as client:
                for caller in callers.callers:
                    person = Person(client, caller.person.email, caller.person.tokens)
                    assert (await person.me()).status_code == 401
