"""Pods whose clock is set while they run: a real service, which is ready or not."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tools.chaos.pods import Pod
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import claims_of, sign_up
from tools.testbed.waiting import wait_until

from tests.support.looking import ON_VALKEY
from tests.support.run_queue import Stopwatch
from tests.support.two_factor import new_holder

pytestmark = ON_VALKEY


@pytest.fixture
def pod(tmp_path: Path, keys: RedisServer) -> Iterator[Pod]:
    pod = Pod(tmp_path, keys.url)
    try:
        pod.start(patience=120)
        yield pod
    finally:
        assert pod.stop() == 0


def is_ready(pod: Pod) -> bool:
    return httpx.get(f"{pod.url}/health/ready").status_code == 200


async def test_a_clock_is_set(pod: Pod) -> None:
    """Its tokens have its time; a minute off it is not ready; set right again, all is well."""
    async with httpx.AsyncClient(base_url=pod.url, timeout=30) as client:
        for ahead in (25.0, -25.0, 0.0):
            pod.clock.seconds = ahead
            since = Stopwatch()
            claims = claims_of((await sign_up(client)).tokens["accessToken"])
            assert abs(claims["iat"] - time.time() - ahead) < 5 + since.all
            wait_until(lambda: is_ready(pod))
        holder = await new_holder(client)
        await holder.begin()
        for ahead in (75.0, -240.0):
            pod.clock.seconds = ahead
            wait_until(lambda: not is_ready(pod))
            code = holder.phone.code()
            assert (await holder.verify(code)).status_code == 503, "no code is judged"
        pod.clock.seconds = 0.0
        assert (await holder.verify(holder.phone.code())).status_code == 200
        wait_until(lambda: is_ready(pod))


async def test_a_log_that_is_not_read(pod: Pod) -> None:
    """The pod answers though its pipe is full many times over, and what fits is said later."""
    pod.log.stop_reading()
    async with httpx.AsyncClient(base_url=pod.url, timeout=30) as client:
        for _ in range(100):
            assert (await client.get("/auth/me")).status_code == 401
        before = pod.output().count('"status":401')
        pod.log.read_on()
        wait_until(lambda: pod.output().count('"status":401') == 100)
    assert before < 50
