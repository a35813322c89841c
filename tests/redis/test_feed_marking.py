"""The service marks the feed as its issuer's, and never takes another's over unasked."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.exceptions import MovedError
from tools.testbed.access import SERVICE, url_as
from tools.testbed.cluster import Cluster
from tools.testbed.forked import run_command
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import NetworkServer, RedisServer
from tools.testbed.sentinel import SentinelTrio
from tools.testbed.service_process import PATIENT, ServiceProcess
from tools.testbed.waiting import eventually, wait_until

from service.embedded.files import find_binary
from service.redis import feed_marking
from service.redis.client import RedisClient
from service.redis.feed_marking import FeedMarking
from service.redis.keys import BUCKETS, numbered
from tests.support.looking import ON_VALKEY

OURS, THEIRS = "https://ours.example", "https://theirs.example"


def marks(*clients: Any) -> Counter[str]:
    """How many of the 64 marks name which issuer, over all primaries."""
    found = Counter[str]()
    for client in clients:
        for number in range(BUCKETS):
            with suppress(MovedError):
                for _, fields in client.xrange(numbered(number).issuer):
                    found[fields[b"iss"].decode()] += 1
    return found


@pytest.fixture
async def redis_client(keys: RedisServer) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    yield redis_client
    await redis_client.aclose()


async def test_marks_all_buckets_once(redis_client: RedisClient, keys: RedisServer) -> None:
    """Eight at once: each bucket has one entry in the end, with one field."""
    markings = [FeedMarking(redis_client, OURS) for _ in range(8)]
    await asyncio.gather(*(marking.start() for marking in markings))
    assert [marking.problem for marking in markings] == [""] * 8
    with keys.client() as client:
        assert marks(client) == {OURS: BUCKETS}


async def test_no_mark_where_redis_has_gone_back(
    redis_client: RedisClient, keys: RedisServer
) -> None:
    """It is taken away where the feed has had too few entries, and not put back before it has."""
    least = [0] * BUCKETS
    marking = FeedMarking(redis_client, OURS, lambda: least)
    await marking.mark()
    least[7] = 3
    with keys.client() as client:
        client.set(numbered(7).revocations, 2)
        for _ in range(2):
            assert {each.whose for each in await marking.mark()} <= {"ours", "none"}
            assert marks(client) == {OURS: BUCKETS - 1}
            assert not client.exists(numbered(7).issuer)
        client.set(numbered(7).revocations, 3)
        await marking.mark()
        assert marks(client) == {OURS: BUCKETS}


@ON_VALKEY
async def test_it_looks_at_once_when_woken(
    redis_client: RedisClient, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not wait for its time."""
    monkeypatch.setattr(feed_marking, "REASSERT_EVERY", 3600)
    looked = asyncio.Event()

    def least() -> list[int]:
        looked.set()
        return [0] * BUCKETS

    marking = FeedMarking(redis_client, OURS, least)
    task = asyncio.create_task(marking.run())
    marking.wake()
    await looked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_foreign_mark_is_left_alone(
    redis_client: RedisClient, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The problem names both issuers, until the mark is ours again; other buckets are marked."""
    monkeypatch.setattr(feed_marking, "REASSERT_EVERY", 0.05)
    with keys.client() as client:
        client.xadd(numbered(7).issuer, {"iss": THEIRS})
        marking = FeedMarking(redis_client, OURS)
        await marking.start()
        running = asyncio.create_task(marking.run())
        assert OURS in marking.problem
        assert THEIRS in marking.problem
        assert marks(client) == {OURS: BUCKETS - 1, THEIRS: 1}
        client.delete(numbered(7).issuer)

        async def mended() -> bool:
            return marking.problem == ""

        await eventually(mended)
        assert marks(client) == {OURS: BUCKETS}
        client.flushall()

        async def marked_again() -> bool:
            return marks(client) == {OURS: BUCKETS}

        await eventually(marked_again)
        running.cancel()


@pytest.mark.parametrize("wrong", ["two entries", "another field", "no stream"])
async def test_a_malformed_mark_is_nobodys(
    redis_client: RedisClient, keys: RedisServer, wrong: str
) -> None:
    """It is told and left alone; claiming replaces it, whatever kind of key it is."""
    key = numbered(3).issuer
    with keys.client() as client:
        if wrong == "two entries":
            client.xadd(key, {"iss": OURS})
            client.xadd(key, {"iss": OURS})
        elif wrong == "another field":
            client.xadd(key, {"aud": OURS})
        else:
            client.set(key, OURS)
        before = client.dump(key)
        marking = FeedMarking(redis_client, OURS)
        await marking.start()
        assert "of nobody" in marking.problem
        assert client.dump(key) == before
        await marking.mark("all")
        await marking.start()
        assert marking.problem == ""
        assert marks(client) == {OURS: BUCKETS}


@pytest.mark.parametrize("kind", ["cluster", "sentinel", "replica"])
def test_the_service_marks_at_its_start(tmp_path: Path, kind: str) -> None:
    """On a cluster, behind Sentinels, and where each change waits for a replica."""
    settings, more = {}, []
    if kind == "cluster":
        servers: Any = Cluster(tmp_path / "redis").start()
        primaries = servers.nodes
    elif kind == "sentinel":
        servers = SentinelTrio(tmp_path / "redis").start()
        settings, primaries = {"SERVICE_REDIS_MIN_REPLICAS": "2"}, [servers.primary()]
    else:
        servers = NetworkServer(find_binary(), tmp_path / "redis").start()
        follow = ("--replicaof", f"127.0.0.1 {servers.port}")
        more = [NetworkServer(find_binary(), tmp_path / "replica", *follow).start()]
        settings, primaries = {"SERVICE_REDIS_MIN_REPLICAS": "1"}, [servers]
    try:
        (tmp_path / "service").mkdir()
        url = url_as(SERVICE, servers.url) if kind != "replica" else servers.url
        service = ServiceProcess(tmp_path / "service", url, **settings).start()
        try:
            with ExitStack() as open_ones:
                clients = [open_ones.enter_context(primary.client()) for primary in primaries]
                assert marks(*clients) == {"http://127.0.0.1:8000": BUCKETS}
        finally:
            service.stop()
    finally:
        for server in (servers, *more):
            server.stop()


def claim(service: ServiceProcess, *arguments: str) -> tuple[int, str]:
    """Run `redis claim` with the settings of a service."""
    ran = run_command(["redis", "claim", *arguments], service._environment)
    assert bool(ran.stderr) == bool(ran.returncode)
    return ran.returncode, ran.stderr or ran.stdout


@ON_VALKEY
def test_an_issuer_that_was_changed_on_purpose(keys: RedisServer, tmp_path: Path) -> None:
    """Readiness is 503 and names both, until the feed is claimed; without --yes nothing happens."""
    with keys.client() as client:
        for number in range(BUCKETS):
            client.xadd(numbered(number).issuer, {"iss": THEIRS})
        service = ServiceProcess(
            tmp_path, keys.url_of(SERVICE), SERVICE_ISSUER=OURS, **PATIENT
        ).start()
        try:
            answers = list[httpx.Response]()

            def both_are_named() -> bool:
                answers.append(httpx.get(f"{service.url}/health/ready"))
                return THEIRS in answers[-1].text

            wait_until(both_are_named)
            answer = answers[-1]
            part = answer.json()["redis"]
            assert answer.status_code == 503
            assert not part["ok"]
            assert OURS in part["message"]
            assert THEIRS in part["message"]
            wait_until(lambda: THEIRS in service.output())
            code, told = claim(service)
            assert code == 0
            assert "64 of 64" in told
            assert "--yes" in told
            assert marks(client) == {THEIRS: BUCKETS}
            code, told = claim(service, "--yes")
            assert (code, marks(client)) == (0, {OURS: BUCKETS})
            code, told = claim(service, "--yes")
            assert code == 0
            assert "already" in told
            wait_until(lambda: httpx.get(f"{service.url}/health/ready").status_code == 200)
        finally:
            service.stop()


@ON_VALKEY
def test_claiming_without_redis(keys: RedisServer, tmp_path: Path) -> None:
    """One line, exit code 1."""
    service = ServiceProcess(tmp_path, keys.url, **PATIENT)
    service._environment["SERVICE_REDIS_URL"] = f"unix://{tmp_path}/nowhere.sock"
    code, told = claim(service, "--yes")
    assert code == 1
    assert len(told.splitlines()) == 1
    assert os.sep not in told
