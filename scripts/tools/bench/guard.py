"""What a check costs an app pod, and what it keeps of each session that has ended.

The guard follows a real feed while it is measured, in this process: what that costs is in the
figures. Only its CPU is counted, so it matters little what else the machine does.
"""

import asyncio
import gc
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage
from tempfile import TemporaryDirectory
from typing import Any

from jwt.algorithms import ECAlgorithm

from service.access_tokens.reader import decode
from service.guard import Verifier
from service.guard.revocations import shards
from service.redis.client import RedisClient
from service.redis.feed_marking import FeedMarking
from service.redis.keys import bucket_number
from tools.bench import processes
from tools.bench.results import Found, Row
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SIGNING_KEYS, access_tokens
from tools.testbed.tokens import SESSION

_BATCHES = 40
_CHECKS, _SIGNATURES = 2000, 50
_STATM = Path("/proc/self/statm")


async def measure(revocations: int, tell: Callable[[str], None]) -> Found:
    """The best batch of each: what is slower was interrupted."""
    spawn = multiprocessing.get_context("spawn")
    tell(f"memory of {revocations} ended sessions in a guard")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        size = await asyncio.get_running_loop().run_in_executor(pool, _bytes_each, revocations)
    tell("checks of a guard")
    token, _ = access_tokens().mint(SESSION)
    with (
        TemporaryDirectory() as name,
        processes.redis_server(Path(name)) as redis,
        Issuer(SIGNING_KEYS) as issuer,
    ):
        redis_client = RedisClient(redis.url)
        await FeedMarking(redis_client, "https://issuer.example").mark()
        await redis_client.aclose()
        guard = partial(
            Verifier,
            issuer="https://issuer.example",
            audience="audience",
            jwks_url=issuer.url,
            redis_url=redis.url.reveal(),
        )
        async with guard() as warm, guard(cache_size=0) as cold:
            cached = await _best(lambda: warm.verify(token), _CHECKS)
            bare, uncached = await _in_turn(token, cold)
    figures = (
        ("token checked before", cached, "µs", 1.1),
        ("new token", uncached, "µs", None),
        ("bare ES256 signature", bare, "µs", None),
        ("new token, × ES256", uncached / bare, "", 1.3),
        ("memory of an ended session", size, "bytes", 100),
    )
    rows = [
        Row("guard", "guard", name, round(value, 3), unit, limit=limit)
        for name, value, unit, limit in figures
    ]
    return Found(rows, {"guard": f"{revocations:,} ended sessions."})


async def _in_turn(token: str, guard: Verifier) -> tuple[float, float]:
    """The bare signature and the whole check, so that both see the same machine."""
    signed, _, signature = token.encode().rpartition(b".")
    algorithm, raw = ECAlgorithm(ECAlgorithm.SHA256), decode(signature)
    key = SIGNING_KEYS.active.private_key.public_key()

    async def bare() -> Any:
        return algorithm.verify(signed, key, raw)

    found = [
        (
            await _batch(bare, _SIGNATURES),
            await _batch(lambda: guard.verify(token), _SIGNATURES),
        )
        for _ in range(_BATCHES)
    ]
    return min(pair[0] for pair in found), min(pair[1] for pair in found)


async def _best(work: Callable[[], Awaitable[object]], times: int) -> float:
    return min([await _batch(work, times) for _ in range(_BATCHES)])


async def _batch(work: Callable[[], Awaitable[object]], times: int) -> float:
    """CPU of one call, µs."""
    await asyncio.sleep(0.001)  # the feed's turn
    started = time.thread_time()
    for _ in range(times):
        await work()
    return (time.thread_time() - started) / times * 1e6


def _bytes_each(revocations: int) -> float:
    """By how much a process grows that learns of so many ended sessions."""
    known = shards(1e9, time.monotonic())
    gc.collect()
    before = _resident()
    for _ in range(revocations):
        session_id = os.urandom(12)
        known[bucket_number(session_id)].add(session_id)
    return (_resident() - before) / revocations


def _resident() -> int:
    """Bytes of memory that this process holds."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * getpagesize()
    return getrusage(RUSAGE_SELF).ru_maxrss  # macOS: in bytes
