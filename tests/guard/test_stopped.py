"""A guard whose process was stopped and goes on: it trusts nothing that it knew before."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tools.testbed.issuer import Issuer
from tools.testbed.parts import Parts
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.waiting import wait_until

from service.redis.keys import bucket
from tests.guard.guards import log_out
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

USER = bytes(16)
BOUND = 1.0


class GuardProcess:
    """`guard_process.py`."""

    def __init__(self, issuer: Issuer, redis_url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.guard.guard_process", issuer.url, redis_url, str(BOUND)],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'scripts'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, token: str) -> None:
        """Send a token; `answer` has the verdict."""
        assert self._process.stdin
        self._process.stdin.write(token + "\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def says(self, token: str) -> str:
        self.ask(token)
        return self.answer()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        self.signal(signal.SIGCONT)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        self._process.stdout.close()


@pytest.fixture
def guard(issuer: Issuer, keys: RedisServer) -> Iterator[GuardProcess]:
    guard = GuardProcess(issuer, keys.url.reveal())
    yield guard
    guard.stop()


async def test_stopped_and_continued(guard: GuardProcess, parts: Parts) -> None:
    """A session ends while it is stopped, and the question waits when it goes on: not accepted."""
    before, meanwhile, living = [await parts.open(USER) for _ in range(3)]
    await log_out(parts, before)
    wait_until(lambda: guard.says(before.access_token) == "refused")
    assert guard.says(meanwhile.access_token) == "accepted"
    for _ in range(3):
        guard.signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        await log_out(parts, meanwhile)
        guard.ask(meanwhile.access_token)
        guard.ask(before.access_token)
        wait_until(lambda since=stopped_at: time.monotonic() - since > BOUND)
        guard.signal(signal.SIGCONT)
        assert guard.answer() in ("refused", "unavailable")
        assert guard.answer() == "refused"
        wait_until(lambda token=meanwhile.access_token: guard.says(token) == "refused")
        wait_until(lambda: guard.says(living.access_token) == "accepted")
        assert guard.says(meanwhile.access_token) == "refused"
        meanwhile = await parts.open(USER)


async def test_stopped_while_entries_go(
    guard: GuardProcess, parts: Parts, keys: RedisServer
) -> None:
    """The entry was trimmed meanwhile: nobody of that bucket gets in, as nobody knows who left.

    One before it is on its way already: it was waited for.
    """
    before, meanwhile, living = [await parts.open(USER) for _ in range(3)]
    await log_out(parts, before)
    wait_until(lambda: guard.says(before.access_token) == "refused")
    guard.signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    await log_out(parts, await parts.open(USER))
    await log_out(parts, meanwhile)
    await log_out(parts, await parts.open(USER))
    with keys.client() as client:
        client.xtrim(bucket(USER).revoked, maxlen=1, approximate=False)
    wait_until(lambda: time.monotonic() - stopped_at > BOUND)
    guard.ask(meanwhile.access_token)
    guard.signal(signal.SIGCONT)
    assert guard.answer() == "unavailable"
    elsewhere = await parts.open(b"\1" * 16)
    wait_until(lambda: guard.says(elsewhere.access_token) == "accepted")
    assert guard.says(meanwhile.access_token) == "unavailable"
    assert guard.says(living.access_token) == "unavailable"
    assert guard.says(before.access_token) == "refused"
