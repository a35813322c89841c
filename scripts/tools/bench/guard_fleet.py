"""Many guards in one process: `python -m tools.bench.guard_fleet COUNT …`, and what `guards` takes.

Writes a line once all have read the feed. Reads one access token a line, and answers each with how
many of its guards refuse it.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import uvloop

from service.guard import TokenRefused, Verifier
from service.guard.errors import GuardUnavailable
from tools.bench.processes import BenchmarkError
from tools.http_load.proc import cpu
from tools.testbed.redis_server import REPOSITORY

_START = 120.0
"""Seconds in which all must have started."""


@asynccontextmanager
async def guards(
    count: int, jwks_url: str, redis_url: str, issuer: str, audience: str
) -> AsyncIterator[list[Verifier]]:
    """Run so many guards, which have nothing in common but the loop."""
    async with AsyncExitStack() as stack:
        made = []
        for number in range(count):
            guard = Verifier(
                issuer=issuer,
                audience=audience,
                jwks_url=jwks_url,
                redis_url=redis_url,
                pod=f"pod-{number}",
            )
            made.append(await stack.enter_async_context(guard))
        yield made


async def refusing(guards: Sequence[Verifier], token: str) -> int:
    """Ask each of them, and count those that refuse it."""
    count = 0
    for guard in guards:
        try:
            await guard.verify(token)
        except TokenRefused:
            count += 1
        except GuardUnavailable:
            pass
    return count


class Fleet:
    """Such a process, seen from outside; it can be stopped and continued."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asking = asyncio.Lock()

    async def refusing(self, token: str) -> int:
        """Ask all its guards."""
        assert self._process.stdin  # noqa: S101  a pipe, as it was started
        async with self._asking:
            self._process.stdin.write(f"{token}\n".encode())
            return int(await self._line())

    def cpu(self) -> float:
        """Read its CPU seconds so far."""
        return cpu(self._process.pid)

    def stop(self) -> None:
        """Have it do nothing, though its connections stay."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End that."""
        self._process.send_signal(signal.SIGCONT)

    async def _line(self) -> bytes:
        assert self._process.stdout  # noqa: S101  the same
        if not (line := await self._process.stdout.readline()):
            raise BenchmarkError("the process with the guards has ended")
        return line


@asynccontextmanager
async def fleet(count: int, *where: str) -> AsyncIterator[Fleet]:
    """Start a process with so many guards. `where`: the arguments of `guards` after the count."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.bench.guard_fleet", str(count), *where,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'scripts'}"},
    )  # fmt: skip
    made = Fleet(process)
    try:
        await asyncio.wait_for(made._line(), _START)
        yield made
    finally:
        with suppress(ProcessLookupError):
            made.go_on()
            process.kill()
        await process.wait()


async def _serve(count: str, *where: str) -> None:
    loop = asyncio.get_running_loop()
    async with guards(int(count), *where) as all_of_them:
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(await refusing(all_of_them, line.strip()), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:]))  # as uvicorn does, where it is installed
