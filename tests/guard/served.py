"""An app behind the guard, for any ASGI server: tells who calls, once it has read the body."""

import json
import os
from typing import Any

from service.guard import Verifier
from service.guard.asgi import GuardMiddleware

verifier = Verifier(
    issuer="https://issuer.example",
    audience="audience",
    jwks_url=os.environ["GUARD_JWKS_URL"],
    redis_url=os.environ["GUARD_REDIS_URL"],
)


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request, or greet a WebSocket."""
    if scope["type"] == "lifespan":
        raise ValueError("this app has no lifespan")
    identity = scope["state"]["identity"]
    user = identity.user_id if identity else None
    if scope["type"] == "websocket":
        await receive()
        await send(
            {"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)}
        )
        await send({"type": "websocket.send", "text": str(user)})
        await send({"type": "websocket.close", "code": 1000})
        return
    while (await receive()).get("more_body"):
        pass
    body = json.dumps({"user": user, "path": scope["path"]}).encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


app = GuardMiddleware(inner, verifier=verifier, public=["/health", "/public/"])
