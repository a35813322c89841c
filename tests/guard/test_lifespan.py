"""The verifier runs as long as the app does, be the app one that hears of it or not."""

from typing import Any

import pytest

from service.guard.asgi import GuardMiddleware
from tests.guard.exchange import KnownTokens

STARTED, STOPPED = "lifespan.startup.complete", "lifespan.shutdown.complete"


async def run(app: Any, verifier: KnownTokens) -> list[str]:
    """A server's part: start, then stop. The steps of all, in their order."""
    asked = ["lifespan.startup", "lifespan.shutdown"]

    async def receive() -> dict[str, Any]:
        return {"type": asked.pop(0)}

    async def send(message: dict[str, Any]) -> None:
        verifier.steps.append(message["type"])

    await GuardMiddleware(app, verifier=verifier)({"type": "lifespan"}, receive, send)
    return verifier.steps


async def test_an_app_with_a_lifespan() -> None:
    """Starts after the verifier and stops before it; the server hears of the end last."""
    verifier = KnownTokens()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        verifier.steps.append("app starts")
        await send({"type": STARTED})
        assert (await receive())["type"] == "lifespan.shutdown"
        verifier.steps.append("app stops")
        await send({"type": STOPPED})

    assert await run(app, verifier) == [
        "verifier starts", "app starts", STARTED, "app stops", "verifier stops", STOPPED,
    ]  # fmt: skip


@pytest.mark.parametrize("raises", [True, False])
async def test_an_app_without_one(raises: bool) -> None:
    """As Django, which raises, or one that returns: the guard answers the server itself."""
    verifier = KnownTokens()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if raises:
            raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")

    assert await run(app, verifier) == ["verifier starts", STARTED, "verifier stops", STOPPED]


async def test_an_app_that_cannot_start() -> None:
    """Its failure is passed on, and the verifier is stopped."""
    verifier = KnownTokens()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        await run(app, verifier)
    assert verifier.steps == ["verifier starts", "lifespan.startup.failed", "verifier stops"]


async def test_a_verifier_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server hears it without details that may be secret, and the app is never started."""
    verifier = KnownTokens()

    async def fail(_: KnownTokens) -> None:
        raise OSError("redis://user:password@host")

    monkeypatch.setattr(KnownTokens, "__aenter__", fail)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with pytest.raises(OSError, match="redis"):
        await GuardMiddleware(None, verifier=verifier)({"type": "lifespan"}, receive, send)
    assert sent == [
        {"type": "lifespan.startup.failed", "message": "the guard cannot start: OSError"}
    ]
