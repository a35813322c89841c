"""An app pod with Starlette: people's orders, payments with a second factor, and a WebSocket.

    pip install openshow-guard starlette uvicorn websockets
    export AUTH_ISSUER=http://127.0.0.1:8000 AUTH_AUDIENCE=openshow
    export AUTH_JWKS_URL=http://127.0.0.1:8000/.well-known/jwks.json
    export AUTH_REDIS_URL=redis://openshow-guard:password@127.0.0.1:6379
    uvicorn --app-dir docs/examples --port 8001 orders_starlette:app

A browser opens the WebSocket with `new WebSocket(url, ["orders", "openshow.bearer." + token])`.
"""

import os

from openshow_guard import Verifier
from openshow_guard.asgi import GuardMiddleware, Requirement
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

verifier = Verifier(
    issuer=os.environ["AUTH_ISSUER"],
    audience=os.environ["AUTH_AUDIENCE"],
    jwks_url=os.environ["AUTH_JWKS_URL"],
    redis_url=os.environ["AUTH_REDIS_URL"],
)


async def orders(request: Request) -> JSONResponse:
    """Need an access token, as all but public paths do."""
    return JSONResponse({"ordersOf": request.state.identity.user_id})


async def pay(request: Request) -> JSONResponse:
    """Needs one from a login with a TOTP code, at most ten minutes ago."""
    return JSONResponse({"paidBy": request.state.identity.user_id})


async def news(socket: WebSocket) -> None:
    """Tell a browser whose news these are; it is closed when the session ends."""
    await socket.accept("orders")
    await socket.send_json({"newsOf": socket.state.identity.user_id})
    await socket.close()


async def health(request: Request) -> JSONResponse:
    """For the load balancer."""
    return JSONResponse({"ok": True})


app = Starlette(
    routes=[
        Route("/orders", orders),
        Route("/payments", pay, methods=["POST"]),
        Route("/health", health),
        WebSocketRoute("/news", news),
    ],
    middleware=[
        Middleware(
            GuardMiddleware,
            verifier=verifier,
            public=["/health"],
            require={"/payments": Requirement(methods={"otp"}, max_age=600)},
        )
    ],
)
