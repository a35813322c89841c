"""An app pod, which has a guard that follows the feed; it lives in this process."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from service.guard.errors import GuardUnavailable, TokenRefused
from service.guard.verifier import Verifier
from service.settings import Settings
from tools.chaos.history import Operation
from tools.chaos.requests import Answer, Device, Requests
from tools.chaos.stage import ACCESS_LIFE, Stage

PROCESS = -2
"""The number that the history gives it; those below are of its further guards."""

_MOST_GUARDS = 3


class AppPod:
    """Looks at access tokens, and writes everything down. It may have several guards."""

    def __init__(self, new: Callable[[], Verifier], requests: Requests) -> None:
        """Have no guard yet."""
        self._new = new
        self._started = 0
        self._verifiers: dict[int, Verifier] = {}
        """By number. The first one stays for all of a run, and those that have started last."""
        self._requests = requests

    async def start_another(self) -> None:
        """Start a guard, which knows what the feed has now; of many, the second oldest is left."""
        if len(self._verifiers) == _MOST_GUARDS:
            _, second, *_ = self._verifiers
            await self._verifiers.pop(second).__aexit__(None, None, None)
        number, self._started = self._started, self._started + 1
        self._verifiers[number] = await self._new().__aenter__()

    async def aclose(self) -> None:
        """Stop all guards."""
        while self._verifiers:
            _, verifier = self._verifiers.popitem()
            await verifier.__aexit__(None, None, None)

    def lost(self) -> list[str]:
        """Say of each guard whose feed is lost of which buckets, and why."""
        return [
            f"guard {number}: {_missing(verifier)}"
            for number, verifier in self._verifiers.items()
            if verifier.feed_lost
        ]

    async def send(self, email: str, by: Device) -> Answer:
        """Ask for something with the access token of `by`, each guard. The first one's answer."""
        guards = tuple(self._verifiers.items())
        first, *_ = [await self._ask(email, by, number, verifier) for number, verifier in guards]
        return first

    async def _ask(self, email: str, by: Device, number: int, verifier: Verifier) -> Answer:
        async def ask(_: Operation) -> tuple[int, Answer]:
            try:
                await verifier.verify(by.access)
            except TokenRefused:
                return 401, Answer("refused", "unauthorized", {})
            except GuardUnavailable:
                return 503, Answer("unknown", "service_unavailable", {})
            return 200, Answer("ok", "", {})

        return await self._requests.record("guard", email, PROCESS - number, ask, caller=by.session)


def _missing(verifier: Verifier) -> str:
    """Say which of its buckets a guard has no feed of, with what is known of each."""
    now = time.monotonic()
    running: Any = verifier._lifecycle._running
    return ", ".join(
        f"bucket {it.bucket} "
        + ("bears no mark" if not it.is_ours else "lacks entries" if it.is_incomplete else "is old")
        for it in running.feed._streams
        if now >= it.shard.known_until
    )


@asynccontextmanager
async def guarded(stage: Stage, requests: Requests) -> AsyncIterator[AppPod]:
    """Have one that follows the feed of this stage."""
    settings = Settings.from_environment(stage.environment)

    def new() -> Verifier:
        return Verifier(
            issuer=settings.issuer,
            audience=settings.audience,
            jwks_url=f"{stage.pods[0].url}/.well-known/jwks.json",
            redis_url=settings.redis_url.reveal(),
            access_ttl=ACCESS_LIFE,
        )

    app_pod = AppPod(new, requests)
    try:
        await app_pod.start_another()
        yield app_pod
    finally:
        await app_pod.aclose()
