"""Sentinels that make another server primary, under load from three pods."""

import asyncio
from pathlib import Path

import httpx
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import NetworkServer
from tools.testbed.sentinel import SentinelTrio
from tools.testbed.service_process import ServiceProcess, sign_up
from tools.testbed.waiting import eventually, wait_until

from tests.fleet.load import load
from tests.support.fleet import Fleet, client_of


async def test_a_killed_primary_is_replaced(
    trio: SentinelTrio, on_sentinel: httpx.AsyncClient
) -> None:
    """kill -9: nothing that was answered is lost, and the pods find the next by themselves.

    They stay with that one when the old one is back, which takes itself for the primary at first.
    """
    async with load(on_sentinel) as under_way:
        victim = trio.primary()
        victim.kill()
        with under_way.calm():
            await asyncio.to_thread(trio.next_primary, victim)
        await under_way.progress()
    victim.start()
    async with load(on_sentinel, unavailable_is_wrong=True):
        pass
    assert victim.calls("evalsha") == 0


async def test_a_planned_failover(trio: SentinelTrio, on_sentinel: httpx.AsyncClient) -> None:
    """COORDINATED: nothing that was answered is lost, and the pods follow by themselves."""
    async with load(on_sentinel) as under_way:
        with under_way.calm():
            await asyncio.to_thread(trio.fail_over_once_ready, "COORDINATED")
        await under_way.progress()


async def test_a_plain_failover(trio: SentinelTrio, tmp_path: Path) -> None:
    """Without COORDINATED the old primary goes on for a while, and what it then takes is lost.

    Where each change waits for all replicas, nobody is told that it was taken: the one that is
    promoted acknowledges it no more.
    """
    service = ServiceProcess(
        tmp_path,
        trio.url_of(SERVICE),
        SERVICE_REDIS_MIN_REPLICAS="2",
        SERVICE_REDIS_ROLLBACK=None,
    ).start()
    try:
        async with client_of(service) as client, load(client) as under_way:
            with under_way.calm():
                await asyncio.to_thread(trio.fail_over_once_ready)
                await asyncio.to_thread(trio.heal)
            await under_way.progress()
    finally:
        assert service.stop() == 0


def calls_that_waited(server: NetworkServer) -> int:
    """Count its calls once it has answered all that lay in its sockets while it was frozen."""
    before = -1
    while (calls := server.calls("evalsha")) != before:
        before = calls
    return calls


async def test_a_primary_that_hung_is_not_written(
    trio: SentinelTrio, on_sentinel: httpx.AsyncClient
) -> None:
    """Frozen while nobody asked it anything, replaced, thawed: no pod asks it anything again.

    It takes itself for the primary for seconds, and each pod's connection to it is as good as new.
    """
    people = [await sign_up(on_sentinel) for _ in range(6)]
    victim = trio.primary()
    victim.freeze()
    await asyncio.to_thread(trio.next_primary, victim)
    victim.resume()
    before = calls_that_waited(victim)
    assert victim.role() == "master", "it was told too early to prove anything"

    async def all_are_answered() -> bool:  # while pods have not told each other yet, 503
        answers = [await person.refresh() for person in people]
        return all(answer.status_code == 200 for answer in answers)

    await eventually(all_are_answered)
    async with load(on_sentinel, unavailable_is_wrong=True):
        pass
    assert victim.calls("evalsha") == before


async def test_a_pod_that_hung_with_its_primary(
    trio: SentinelTrio, sentinel_fleet: Fleet, on_sentinel: httpx.AsyncClient
) -> None:
    """Both stopped and continued, as on a machine that was suspended: the pod notices."""
    pod, *others = sentinel_fleet.pods
    async with client_of(pod) as client:
        people = [await sign_up(client) for _ in range(6)]
        victim = trio.primary()
        for each in sentinel_fleet.pods:
            each.freeze()
        victim.freeze()
        await asyncio.to_thread(trio.next_primary, victim)
        victim.resume()
        before = calls_that_waited(victim)
        calls = [asyncio.create_task(person.refresh()) for person in people]
        await asyncio.sleep(0.2)  # so that they wait for the pod when it goes on
        pod.resume()
        answers = await asyncio.gather(*calls)
        for each in others:
            each.resume()
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert victim.calls("evalsha") == before


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_one_sentinel_is_gone(
    trio: SentinelTrio, on_sentinel: httpx.AsyncClient, how: str
) -> None:
    """Dead, or silent: the others are asked, and a failover is followed as always."""
    getattr(trio.sentinels[0], how)()
    async with load(on_sentinel) as under_way:
        victim = trio.primary()
        victim.kill()
        with under_way.calm():
            await asyncio.to_thread(trio.next_primary, victim)
        await under_way.progress()


async def test_all_sentinels_are_dead(trio: SentinelTrio, on_sentinel: httpx.AsyncClient) -> None:
    """Nobody can fail over then; the service goes on with the primary that it knows."""

    async def is_ready() -> bool:
        return (await on_sentinel.get("/health/ready")).status_code == 200

    await eventually(is_ready)  # after the failover of the test before
    for sentinel in trio.sentinels:
        sentinel.kill()
    async with load(on_sentinel, unavailable_is_wrong=True) as under_way:
        await under_way.progress()


async def test_started_before_its_sentinels(trio: SentinelTrio, tmp_path: Path) -> None:
    """The service starts without them, says 503, and serves once they are there."""
    for sentinel in trio.sentinels:
        sentinel.kill()
    service = ServiceProcess(tmp_path, trio.url_of(SERVICE), SERVICE_REDIS_ROLLBACK=None).start()
    try:
        async with httpx.AsyncClient(base_url=service.url, timeout=10) as client:
            assert (await client.get("/health/ready")).status_code == 503
            assert (await client.get("/health/live")).status_code == 200
            for sentinel in trio.sentinels:
                sentinel.start()
            await asyncio.to_thread(
                wait_until, lambda: httpx.get(f"{service.url}/health/ready").status_code == 200
            )
            assert (await (await sign_up(client)).me()).status_code == 200
    finally:
        assert service.stop() == 0
