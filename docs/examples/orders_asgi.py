"""An app pod without a framework: people's orders, and payments with a second factor.

pip install openshow-guard uvicorn
export AUTH_ISSUER=http://127.0.0.1:8000 AUTH_AUDIENCE=openshow
export AUTH_JWKS_URL=http://127.0.0.1:8000/.well-known/jwks.json
export AUTH_REDIS_URL=redis://openshow-guard:password@127.0.0.1:6379
uvicorn --app-dir docs/examples --port 8001 orders_asgi:app
"""

import json
import os
from typing import Any

from openshow_guard import Verifier, current_identity
from openshow_guard.asgi import GuardMiddleware, Requirement


async def shop(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request; the guard has looked at it before."""
    if scope["type"] != "http":
        raise ValueError("only HTTP is served here")  # the guard answers for the lifespan
    caller = current_identity()
    answers = {
        ("GET", "/orders"): {"ordersOf": caller and caller.user_id},
        ("POST", "/payments"): {"paidBy": caller and caller.user_id},
        ("GET", "/health"): {"ok": True},
    }
    found = answers.get((scope["method"], scope["path"]))
    headers = [(b"content-type", b"application/json")]
    status = 200 if found else 404
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})


app = GuardMiddleware(
    shop,
    verifier=Verifier(
        issuer=os.environ["AUTH_ISSUER"],
        audience=os.environ["AUTH_AUDIENCE"],
        jwks_url=os.environ["AUTH_JWKS_URL"],
        redis_url=os.environ["AUTH_REDIS_URL"],
    ),
    public=["/health"],
    require={"/payments": Requirement(methods={"otp"}, max_age=600)},
)
