"""A request that is given up never hands its reply to another."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from tools.testbed.parts import PATIENTLY, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, sign_up

from service.redis.client import RedisClient
from service.redis.scripts import script
from service.sessions.access_tokens import Caller
from tests.faults.conftest import Stage
from tests.support.looking import ON_VALKEY

DROPPED = 2000
AT_ONCE = 50


@script(text="return word")
def echo(*, word: str | int) -> Any: ...


def raw_request(person: Person, number: int) -> bytes:
    """GET /auth/me, or a refresh, as bytes."""
    if number % 2:
        head = "GET /auth/me HTTP/1.1\r\nHost: x\r\n"
        return f"{head}Authorization: {person.bearer['Authorization']}\r\n\r\n".encode()
    body = json.dumps({"refreshToken": person.tokens["refreshToken"]})
    head = f"POST /auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


async def send_and_vanish(url: httpx.URL, request: bytes, number: int) -> None:
    """Close the connection right after sending, or reset it when the answer begins to come."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request)
    with suppress(ConnectionError):
        await writer.drain()
        if number % 3 == 0:
            await reader.read(1)
            writer.transport.abort()
        writer.close()
        await writer.wait_closed()


def is_too_busy(answer: httpx.Response) -> bool:
    """Whether a store had no time to answer, as on a machine with too much to do: nobody's answer,
    and asked for again."""
    return answer.status_code == 503 and "retry-after" in answer.headers


async def insist_on_own_answers(person: Person, stop: asyncio.Event) -> int:
    """Ask until told to stop; each answer must be this person's own. How often it was."""
    asked = 0
    while not stop.is_set():
        answer = await person.me()
        if is_too_busy(answer):
            continue
        assert answer.status_code == 200, answer.text
        me = answer.json()
        assert (me["user"]["email"], me["session"]["id"]) == (person.email, person.session_id)
        refreshed = await person.refresh()
        if is_too_busy(refreshed):
            continue
        assert refreshed.status_code == 200, refreshed.text
        fresh = person.holding(refreshed.json())
        assert (fresh.session_id, fresh.user_id) == (person.session_id, person.user_id)
        person = fresh
        asked += 1
    return asked


async def answered(http: httpx.AsyncClient) -> float:
    """How many requests the service has dealt with, whether somebody waited or not."""
    lines = (await http.get("/metrics")).text
    counts = re.findall(r'^openshow_requests_total{.*route="/auth/.*} (\S+)$', lines, re.MULTILINE)
    return sum(map(float, counts))


@ON_VALKEY
async def test_two_thousand_clients_hang_up(stage: Stage, http: httpx.AsyncClient) -> None:
    """Many users' clients vanish in mid-request; the others get their own answers, all of them."""
    vanishing = [await sign_up(http) for _ in range(20)]
    staying = [await sign_up(http) for _ in range(6)]
    before = await answered(http)
    stop = asyncio.Event()
    checks = [asyncio.create_task(insist_on_own_answers(person, stop)) for person in staying]
    for begin in range(0, DROPPED, AT_ONCE):
        await asyncio.gather(
            *(
                send_and_vanish(http.base_url, raw_request(vanishing[number % 20], number), number)
                for number in range(begin, begin + AT_ONCE)
            )
        )
    stop.set()
    asked = await asyncio.gather(*checks)
    assert min(asked) >= 10
    assert await answered(http) - before - 2 * sum(asked) > DROPPED / 2, "most had been begun"
    for person in vanishing:
        assert (await person.me()).json()["user"]["email"] == person.email


@pytest.fixture
async def redis_client(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    """What the service itself speaks to Redis through."""
    redis_client = RedisClient(redis_server.url, timing=PATIENTLY)
    yield redis_client
    await redis_client.aclose()


async def cancel_after(task: asyncio.Task[object], turns: int) -> None:
    """Cancel `task` after it and all others had so many turns of the event loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()


@ON_VALKEY
async def test_cancelled_calls_keep_their_replies(redis_client: RedisClient) -> None:
    """Calls are cancelled at every point of their way; all others get what they asked for."""
    survivors = 0
    for begin in range(0, 6000, 200):
        calls = {
            f"{begin + number}".encode(): asyncio.create_task(
                echo(redis_client, word=f"{begin + number}")
            )
            for number in range(200)
        }
        await asyncio.gather(
            *(
                cancel_after(task, number % 40)
                for number, task in enumerate(calls.values())
                if number % 4
            )
        )
        for sent, reply in zip(
            calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True
        ):
            if not isinstance(reply, asyncio.CancelledError):
                assert reply == sent
                survivors += 1
    assert 1500 <= survivors < 6000, "some were cancelled, the rest was served"
    replies = await asyncio.gather(*(echo(redis_client, word=n) for n in range(200)))
    assert replies == [b"%d" % n for n in range(200)], "no connection was lost"


@ON_VALKEY
async def test_a_cancelled_use_case_hands_nothing_on(
    redis_client: RedisClient, keys: RedisServer
) -> None:
    """Whoever reads a session after others were cancelled reads their own."""
    parts = Parts(redis_client)
    pairs = [await parts.open() for _ in range(20)]
    callers = [parts.access_tokens.verify(pair.access_token) for pair in pairs]

    async def own(caller: Caller) -> bool:
        return (await parts.sessions.current(caller)).id == caller.session_id

    for turns in range(40):
        doomed = [asyncio.create_task(own(caller)) for caller in callers]
        await asyncio.gather(*(cancel_after(task, turns) for task in doomed))
        await asyncio.gather(*doomed, return_exceptions=True)
        assert all(await asyncio.gather(*(own(caller) for caller in callers)))
