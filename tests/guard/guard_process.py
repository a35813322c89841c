"""A guard in a process of its own, which tests can stop: `guard_process.py ISSUER REDIS BOUND`.

Reads one access token a line, and writes what it thinks of each: a verdict a line.
"""

import asyncio
import sys
from datetime import timedelta

from service.guard import Verifier
from tests.guard.guards import verdict


async def main(jwks_url: str, redis_url: str, bound: str) -> None:
    """Answer until there are no more lines."""
    loop = asyncio.get_running_loop()
    async with Verifier(
        issuer="https://issuer.example",
        audience="audience",
        jwks_url=jwks_url,
        redis_url=redis_url,
        bound=timedelta(seconds=float(bound)),
    ) as guard:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(await verdict(guard, line.strip()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
