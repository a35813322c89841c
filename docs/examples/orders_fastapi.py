"""An app pod: it serves people's orders, and lets them pay when they came with a second factor.

    pip install openshow-guard fastapi uvicorn
    export AUTH_ISSUER=http://127.0.0.1:8000 AUTH_AUDIENCE=openshow
    export AUTH_JWKS_URL=http://127.0.0.1:8000/.well-known/jwks.json
    export AUTH_REDIS_URL=redis://openshow-guard:password@127.0.0.1:6379
    # beside scripts/up: AUTH_REDIS_URL=unix:///path/of/the/checkout/var/redis/redis.sock
    uvicorn --app-dir docs/examples --port 8001 orders_fastapi:app

Then `curl -H "Authorization: Bearer $access" http://127.0.0.1:8001/orders` answers until `$access`
expires or its session ends, whichever comes first.
"""

import os
from datetime import timedelta
from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI
from openshow_guard import Identity, Verifier
from openshow_guard.fastapi import install, require

verifier = Verifier(
    issuer=os.environ["AUTH_ISSUER"],
    audience=os.environ["AUTH_AUDIENCE"],
    jwks_url=os.environ["AUTH_JWKS_URL"],
    redis_url=os.environ["AUTH_REDIS_URL"],
)
app = FastAPI()
install(app, verifier)

Caller = Annotated[Identity, Depends(require(verifier))]
Payer = Annotated[
    Identity, Depends(require(verifier, methods={"otp"}, max_age=timedelta(minutes=10)))
]


@app.get("/orders")
async def orders(caller: Caller) -> dict[str, str]:
    """Needs an access token, because it asks who calls."""
    return {"ordersOf": caller.user_id}


@app.post("/payments")
async def pay(payer: Payer) -> dict[str, str]:
    """Needs one from a login with a TOTP code, at most ten minutes ago."""
    return {"paidBy": payer.user_id}


@app.get("/health")
async def health() -> dict[str, int]:
    """For the load balancer, and for whoever watches how the guard fares."""
    return msgspec.structs.asdict(verifier.counters)
