"""What a check costs an app pod, and what it keeps of each session that has ended.

The guard follows a real feed while it is measured, in this process: what that costs is in the
figures. Only its CPU is counted, so it matters little what else the machine does.
"""

import asyncio
import gc
import os
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from jwt.algorithms import ECAlgorithm

from service.access_tokens.reader import decode
from service.guard import Verifier
from service.guard.cut_offs import CutOff
from service.guard.revocations import Shard, shards
from service.redis.client import RedisClient
from service.redis.feed_marking import FeedMarking
from service.redis.keys import bucket_number
from tools.bench.harness import place
from tools.bench.processes import one_process
from tools.bench.results import Found, Row
from tools.http_load.proc import resident
from tools.report.progress import StatusLine
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SESSION, SIGNING_KEYS, access_tokens

_BATCHES = 40
_CHECKS, _SIGNATURES = 2000, 50
_ISSUER = "https://issuer.example"


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure the best batch of each: what is slower was interrupted."""
    tell(f"memory of {told.revocations} ended sessions in a guard")
    with one_process() as pool:
        loop = asyncio.get_running_loop()
        size = await loop.run_in_executor(pool, _bytes_each, told.revocations, _end)
    tell(f"memory of {told.revocations} cut-offs in a guard")
    with one_process() as pool:
        cut_off_size = await loop.run_in_executor(pool, _bytes_each, told.revocations, _cut_off)
    tell("checks of a guard")
    cached, bare, uncached = await _checks()
    figures = (
        ("token checked before", cached, "µs", 1.1),
        ("new token", uncached, "µs", None),
        ("bare ES256 signature", bare, "µs", None),
        ("new token, × ES256", uncached / bare, "", 1.3),
        ("memory of an ended session", size, "bytes", 20),
        ("memory of a cut-off", cut_off_size, "bytes", 500),
    )
    rows = [
        Row("guard", "guard", name, round(value, 3), unit, limit=limit)
        for name, value, unit, limit in figures
    ]
    return Found(rows, {"guard": f"{told.revocations:,} ended sessions."})


async def _checks() -> tuple[float, float, float]:
    """Measure a check of a token known, the bare signature, and a check of a new token, in µs.

    The last two take turns, so that both see the same machine.
    """
    token, _ = access_tokens().mint(SESSION)
    sent = token.encode()
    signed, _, signature = sent.rpartition(b".")
    algorithm, raw = ECAlgorithm(ECAlgorithm.SHA256), decode(signature)
    key = SIGNING_KEYS.active.private_key.public_key()

    async def verify_signature() -> Any:
        return algorithm.verify(signed, key, raw)

    async with place() as here:
        redis_client = RedisClient(here.redis.url)
        await FeedMarking(redis_client, _ISSUER).mark()
        await redis_client.aclose()
        with Issuer(SIGNING_KEYS) as issuer:
            guard = partial(
                Verifier, issuer=_ISSUER, audience="audience",
                jwks_url=issuer.url, redis_url=here.redis.url.reveal(),
            )  # fmt: skip
            async with guard() as warm, guard(cache_size=0) as cold:
                # A text of its own each time, as a request brings it: its hash is not known yet.
                cached = [
                    await _batch(lambda: warm.verify(sent.decode("latin-1")), _CHECKS)
                    for _ in range(_BATCHES)
                ]
                bare, whole = list[float](), list[float]()
                for _ in range(_BATCHES):
                    bare.append(await _batch(verify_signature, _SIGNATURES))
                    whole.append(await _batch(lambda: cold.verify(token), _SIGNATURES))
    return min(cached), min(bare), min(whole)


async def _batch(work: Callable[[], Awaitable[object]], times: int) -> float:
    """Measure the CPU of one call, µs."""
    await asyncio.sleep(0.001)  # the feed's turn
    started = time.thread_time()
    for _ in range(times):
        await work()
    return (time.thread_time() - started) / times * 1e6


def _bytes_each(times: int, learn: Callable[[tuple[Shard, ...]], None]) -> float:
    """Measure by how much a process grows that learns of so many ends."""
    known = shards(1e9, time.monotonic())
    gc.collect()
    before = resident(os.getpid())
    for _ in range(times):
        learn(known)
    return (resident(os.getpid()) - before) / times


def _end(known: tuple[Shard, ...]) -> None:
    session_id = os.urandom(12)
    known[bucket_number(session_id)].add(session_id)


def _cut_off(known: tuple[Shard, ...]) -> None:
    """Cut off a user whose session stays that did it."""
    user_id = os.urandom(16)
    said = CutOff.keeping(time.time_ns() // 1_000_000, [os.urandom(12)])
    known[bucket_number(user_id)].cut_off(user_id, said)
