"""Routes for operators and other services: keys, health, metrics, and this API's description."""

from urllib.parse import parse_qs

import msgspec
from litestar import MediaType, Response, get
from litestar.openapi import ResponseSpec
from prometheus_client import CONTENT_TYPE_LATEST

from service.readiness.status import Readiness
from service.web.authentication import PUBLIC
from service.web.listeners import shows_details
from service.web.metrics.exposition import exposition
from service.web.metrics.gauges import gauges_of
from service.web.metrics.guards import exposition_of
from service.web.protocol import STOPPING
from service.web.requests import JsonRequest
from service.web.routes.bodies import REFUSALS, Body, failures
from service.web.services import services_of


class LiveBody(Body, frozen=True):
    """Always the same: who can answer is alive."""

    status: str = "live"


class JwkBody(Body, frozen=True):
    """A public key (RFC 7517, section 4; RFC 7518, section 6.2.1)."""

    kty: str
    crv: str
    x: str
    y: str
    kid: str
    use: str
    alg: str


class JwksBody(Body, frozen=True):
    """The keys that verify access tokens, the newest first."""

    keys: list[JwkBody]


@get(
    "/.well-known/jwks.json",
    opt=PUBLIC,
    response_headers={"Cache-Control": "public, max-age=600"},
    media_type=MediaType.JSON,
    summary="Public keys",
    responses={200: ResponseSpec(JwksBody, False, "The JWK set")} | failures(),
)
async def jwks(request: JsonRequest) -> bytes:
    """Return the JWK set (RFC 7517) that verifies access tokens."""
    return services_of(request.app).jwks()


@get(
    "/health/live",
    opt=PUBLIC,
    summary="Liveness",
    response_description="It lives",
    responses=failures(),
)
async def live() -> LiveBody:
    """Answer 200 while the process serves."""
    return LiveBody()


@get(
    "/health/ready",
    opt=PUBLIC,
    media_type=MediaType.JSON,
    summary="Readiness",
    responses={
        200: ResponseSpec(Readiness, False, "Every part is ready"),
        503: ResponseSpec(Readiness, False, "A part is not ready"),
    }
    | REFUSALS,
)
async def ready(request: JsonRequest) -> Response[bytes]:
    """Report each part in a line: `redis` with the durability in force, `users`, `keyring`.

    Where operators have a port of their own, reasons and versions are told there alone.

    A process that has been asked to stop is not ready, and says so in a line of its own. The
    status leaves out parts that the query names: `?ignore=users` is for load balancers, since
    without the user store sessions go on.
    """
    readiness = await services_of(request.app).readiness()
    if STOPPING in request.scope["state"]:
        readiness = readiness.stopping()
    details = shows_details(request.scope)
    lines = ",\n".join(
        f'  "{name}": {msgspec.json.encode(part if details else part.in_short()).decode()}'
        for name, part in readiness.parts().items()
    )
    # Not `request.query_params`: Litestar keeps each query that it has parsed, and what it made.
    query = parse_qs(request.scope["query_string"].decode("latin-1"))
    ignored = query.get("ignore", [])
    status = 200 if readiness.ok_without(ignored) else 503
    return Response(f"{{\n{lines}\n}}\n".encode(), status_code=status)


@get(
    "/metrics",
    opt=PUBLIC,
    media_type="text/plain",
    summary="Metrics",
    responses={200: ResponseSpec(str, False, "Prometheus text", "text/plain")} | failures(),
)
async def metrics(request: JsonRequest) -> Response[bytes]:
    """Return counts and times of requests, what they came to, queues, keys and clocks."""
    gauges_of(request.app).look()
    told = exposition() + exposition_of(services_of(request.app).guards.last)
    # Litestar puts the charset behind it, and a type names it once.
    return Response(told, media_type=CONTENT_TYPE_LATEST.partition("; charset=")[0])


ROUTES = [jwks, live, ready, metrics]
