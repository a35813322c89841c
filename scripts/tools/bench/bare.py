"""What calls cannot do without, each by itself: a token's check, a signature, a call of Redis.

Each round has a process of its own, which does nothing else and speaks no HTTP.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import jwt
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.utils import base64url_decode, raw_to_der_signature
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from service.redis.client import RedisClient
from service.settings import Secret
from tools.bench.processes import EMPTY_SCRIPT, RedisServer, one_process
from tools.bench.results import Row
from tools.report.progress import StatusLine
from tools.testbed.parts import SESSION, SIGNING_KEYS, access_tokens

_TOKENS = 500
_WARM_UP = 50
_FIGURES = (
    ("PyJWT checks a token", "CPU of the worker"),
    ("the bare ES256 signature", "CPU of the worker"),
    ("an ES256 signature is made", "CPU of the worker"),
    ("our client's EVALSHA", "CPU of the worker"),
    ("redis-py's EVALSHA", "CPU of the worker"),
    ("redis-py's EVALSHA", "Redis CPU"),
)
_CHECKS: dict[str, Any] = {
    "algorithms": ["ES256"],
    "audience": "audience",
    "issuer": "https://issuer.example",
    "options": {"require": ["iss", "aud", "sub", "exp", "iat", "jti"]},
}


def measure(
    redis: RedisServer, connections: int, calls: int, rounds: int, tell: StatusLine
) -> list[Row]:
    """Measure rounds of fresh processes, with so many connections and calls on each."""
    found = []
    for _ in tell.rounds(rounds, "bare JWT and bare EVALSHA"):
        with one_process() as pool:
            found.append(pool.submit(_round, redis.url.reveal(), connections, calls).result())
    return [
        Row("calls", f"no HTTP: {name}", metric, round(median(several), 2), "µs")
        for (name, metric), several in zip(_FIGURES, zip(*found, strict=True), strict=True)
    ]


def _round(url: str, connections: int, calls: int) -> tuple[float, ...]:
    """Measure CPU in µs, as in `_FIGURES`."""
    tokens = [access_tokens().mint(SESSION)[0] for _ in range(_TOKENS)]
    signatures = [_parts(token) for token in tokens]
    key: Any = SIGNING_KEYS.active.private_key.public_key()
    algorithm = ec.ECDSA(SHA256())
    verified = _each(tokens, lambda token: jwt.decode(token, key, **_CHECKS))
    bare = _each(signatures, lambda parts: key.verify(parts[1], parts[0], algorithm))
    made = _each(signatures, lambda parts: SIGNING_KEYS.active.sign(parts[0]))
    ours, theirs, of_redis = uvloop.run(_call_redis(url, connections, calls))
    return verified, bare, made, ours, theirs, of_redis


def _parts(token: str) -> tuple[bytes, bytes]:
    """Take a token apart: what was signed, and the signature as OpenSSL wants it."""
    signed, _, signature = token.encode().rpartition(b".")
    return signed, raw_to_der_signature(base64url_decode(signature), ec.SECP256R1())


def _each(items: list[Any], work: Callable[[Any], object]) -> float:
    """Measure CPU for one of `items`, µs, each taken once; the first few are for the caches."""
    for item in items[:_WARM_UP]:
        work(item)
    started = time.thread_time()
    for item in items[_WARM_UP:]:
        work(item)
    return (time.thread_time() - started) / len(items[_WARM_UP:]) * 1e6


async def _call_redis(url: str, connections: int, calls: int) -> tuple[float, float, float]:
    """Measure CPU of our client, of redis-py's, and of the server for one call of that, µs."""
    server = RedisServer(Secret(url), Redis.from_url(url))
    theirs, ours = AsyncRedis.from_url(url), RedisClient(Secret(url))
    digest = await theirs.script_load(EMPTY_SCRIPT)
    found = []
    for call in (
        lambda: ours.execute("EVALSHA", digest, 0),
        lambda: theirs.evalsha(digest, 0),
    ):
        await _call(call, connections, max(1, calls // 10))  # opens the connections
        redis, own = server.costs().cpu, time.process_time()
        await _call(call, connections, calls)
        own, redis = time.process_time() - own, server.costs().cpu - redis
        found.append((own / connections / calls * 1e6, redis / connections / calls * 1e6))
    await theirs.aclose()
    await ours.aclose()
    return found[0][0], *found[1]


async def _call(call: Callable[[], Awaitable[object]], connections: int, times: int) -> None:
    """Have so many call that often."""

    async def each() -> None:
        for _ in range(times):
            await call()

    await asyncio.gather(*(each() for _ in range(connections)))
