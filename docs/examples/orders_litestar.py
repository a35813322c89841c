"""An app pod: it serves people's orders, and knows within milliseconds that someone has logged out.

    pip install openshow-guard litestar uvicorn
    export AUTH_ISSUER=http://127.0.0.1:8000 AUTH_AUDIENCE=openshow
    export AUTH_JWKS_URL=http://127.0.0.1:8000/.well-known/jwks.json
    export AUTH_REDIS_URL=redis://openshow-guard:password@127.0.0.1:6379
    # beside scripts/up: AUTH_REDIS_URL=unix:///path/of/the/checkout/var/redis/redis.sock
    uvicorn --app-dir docs/examples --port 8001 orders_litestar:app

Then `curl -H "Authorization: Bearer $access" http://127.0.0.1:8001/orders` answers until `$access`
expires or its session ends, whichever comes first.
"""

import os

import msgspec
from litestar import Litestar, get, post
from litestar.di import NamedDependency
from openshow_guard import Identity, Verifier
from openshow_guard.litestar import GuardPlugin

verifier = Verifier(
    issuer=os.environ["AUTH_ISSUER"],
    audience=os.environ["AUTH_AUDIENCE"],
    jwks_url=os.environ["AUTH_JWKS_URL"],
    redis_url=os.environ["AUTH_REDIS_URL"],
)


@get("/orders")
async def orders(identity: NamedDependency[Identity]) -> dict[str, str]:
    """Needs an access token, as every route that does not say otherwise."""
    return {"ordersOf": identity.user_id}


@post("/payments", opt={"methods": {"otp"}, "max_age": 600}, status_code=200)
async def pay(identity: NamedDependency[Identity]) -> dict[str, str]:
    """Needs one from a login with a TOTP code, at most ten minutes ago."""
    return {"paidBy": identity.user_id}


@get("/health", opt={"public": True})
async def health() -> dict[str, int]:
    """For the load balancer, and for whoever watches how the guard fares."""
    return msgspec.structs.asdict(verifier.counters)


app = Litestar([orders, pay, health], plugins=[GuardPlugin(verifier)])
