"""What a logout cannot do without, each by itself: a token's check, and a call of Redis.

Each round has a process of its own, which does nothing else and speaks no HTTP.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any

import jwt
import msgspec
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.utils import base64url_decode, raw_to_der_signature
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from service.settings import Secret
from tools.bench import processes
from tools.bench.results import Row
from tools.testbed.parts import SIGNING_KEYS, access_tokens
from tools.testbed.tokens import SESSION

_TOKENS = 500
_WARM_UP = 50
_CLAIMS = ["iss", "aud", "sub", "exp", "iat", "jti"]


class _Load(msgspec.Struct, frozen=True):
    """So many connections to Redis, and calls on each."""

    url: str
    connections: int
    calls: int


def measure(
    redis: processes.RedisServer,
    connections: int,
    calls: int,
    rounds: int,
    tell: Callable[[str], None],
) -> list[Row]:
    """Medians over rounds of fresh processes."""
    load = _Load(redis.url.reveal(), connections, calls)
    found = []
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}: bare JWT and bare EVALSHA")
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found.append(pool.submit(_round, load).result())
    return [
        Row("calls", f"no HTTP: {name}", metric, _median(found, figure), "µs")
        for name, metric, figure in (
            ("PyJWT checks a token", "CPU of the worker", lambda bare: bare.jwt),
            ("the bare ES256 signature", "CPU of the worker", lambda bare: bare.signature),
            ("redis-py's EVALSHA", "CPU of the worker", lambda bare: bare.evalsha),
            ("redis-py's EVALSHA", "Redis CPU", lambda bare: bare.evalsha_redis),
        )
    ]


class Bare(msgspec.Struct, frozen=True):
    """CPU in µs, of a round."""

    jwt: float
    signature: float
    evalsha: float
    evalsha_redis: float


def _median(found: list[Bare], figure: Callable[[Bare], float]) -> float:
    return round(median(figure(bare) for bare in found), 2)


def _round(load: _Load) -> Bare:
    tokens = [access_tokens().mint(SESSION)[0] for _ in range(_TOKENS)]
    signatures = [_parts(token) for token in tokens]
    key = SIGNING_KEYS.active.private_key.public_key()
    algorithm = ec.ECDSA(SHA256())
    verified = _each(tokens, lambda token: _decode(token, key))
    bare = _each(signatures, lambda parts: key.verify(parts[1], parts[0], algorithm))
    client, server = uvloop.run(_call_redis(load))
    return Bare(verified, bare, client, server)


def _decode(token: str, key: Any) -> Any:
    return jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        audience="audience",
        issuer="https://issuer.example",
        options={"require": _CLAIMS},
    )


def _parts(token: str) -> tuple[bytes, bytes]:
    """What was signed, and the signature as OpenSSL wants it."""
    signed, _, signature = token.encode().rpartition(b".")
    return signed, raw_to_der_signature(base64url_decode(signature), ec.SECP256R1())


def _each(items: list[Any], work: Callable[[Any], object]) -> float:
    """CPU for one of `items`, µs, each taken once; the first few are for the caches."""
    for item in items[:_WARM_UP]:
        work(item)
    started = time.thread_time()
    for item in items[_WARM_UP:]:
        work(item)
    return (time.thread_time() - started) / len(items[_WARM_UP:]) * 1e6


async def _call_redis(load: _Load) -> tuple[float, float]:
    """CPU of client and server for one call, µs."""
    server = processes.RedisServer(Secret(load.url), Redis.from_url(load.url))
    client = AsyncRedis.from_url(load.url)
    digest = await client.script_load(processes.EMPTY_SCRIPT)

    async def call(times: int) -> None:
        for _ in range(times):
            await client.evalsha(digest, 0)

    async def all_call(times: int) -> None:
        await asyncio.gather(*(call(times) for _ in range(load.connections)))

    await all_call(max(1, load.calls // 10))  # opens the connections
    redis, own = server.costs().cpu, time.process_time()
    await all_call(load.calls)
    own, redis = time.process_time() - own, server.costs().cpu - redis
    await client.aclose()
    count = load.connections * load.calls / 1e6
    return own / count, redis / count
