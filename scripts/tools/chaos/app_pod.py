"""An app pod, which has a guard that follows the feed; it lives in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.guard.errors import GuardUnavailable, TokenRefused
from service.guard.verifier import Verifier
from service.settings import Settings
from tools.chaos.history import Operation
from tools.chaos.requests import Answer, Device, Requests
from tools.chaos.stage import ACCESS_LIFE, Stage

PROCESS = -2
"""The number that the history gives it."""


class AppPod:
    """Looks at access tokens, and writes everything down."""

    def __init__(self, verifier: Verifier, requests: Requests) -> None:
        self._verifier = verifier
        self._requests = requests

    async def send(self, email: str, by: Device) -> Answer:
        """Ask for something with the access token of `by`."""

        async def ask(_: Operation) -> tuple[int, Answer]:
            try:
                await self._verifier.verify(by.access)
            except TokenRefused:
                return 401, Answer("refused", "unauthorized", {})
            except GuardUnavailable:
                return 503, Answer("unknown", "service_unavailable", {})
            return 200, Answer("ok", "", {})

        return await self._requests.record("guard", email, PROCESS, ask, caller=by.session)


@asynccontextmanager
async def guarded(stage: Stage, requests: Requests) -> AsyncIterator[AppPod]:
    """Have one that follows the feed of this stage."""
    settings = Settings.from_environment(stage.environment)
    verifier = Verifier(
        issuer=settings.issuer,
        audience=settings.audience,
        jwks_url=f"{stage.pods[0].url}/.well-known/jwks.json",
        redis_url=settings.redis_url.reveal(),
        access_ttl=ACCESS_LIFE,
    )
    async with verifier:
        yield AppPod(verifier, requests)
