"""From a provider's POST that logs somebody out until the last of three app pods refuses the token.

The floor beside it is a logout by the person, followed by the same pods in turn with it, and timed
from its POST too.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from secrets import token_urlsafe
from urllib.parse import urlencode

import msgspec

from service.clock import system_clock
from service.sessions.upstream import UpstreamLogin, UpstreamSessions, digests_of
from tools.bench.app_pods import end
from tools.bench.calls import logout
from tools.bench.harness import Place, latency_rows
from tools.bench.processes import HOST, Server
from tools.bench.results import Row
from tools.http_load.connection import Connection
from tools.report.progress import StatusLine
from tools.seed.stores import open_stores
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SIGNING_KEYS, sign

_AT_ONCE = 50  # sessions that are opened together
_CLIENT, _PATH = "bench", "/auth/oauth/bench/backchannel-logout"
_EVENTS: dict[str, dict[str, str]] = {"http://schemas.openid.net/event/backchannel-logout": {}}


@contextmanager
def provider() -> Iterator[tuple[str, dict[str, str]]]:
    """Open a provider that answers whatever it is asked with its metadata and keys.

    Gives its issuer, and the settings by which the service knows it.
    """
    with Issuer(SIGNING_KEYS) as server:
        issuer = server.url.rpartition("/.well-known/")[0]
        endpoints = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        metadata = {name: f"{issuer}/{name}" for name in endpoints} | {
            "issuer": issuer,
            "id_token_signing_alg_values_supported": ["ES256"],
        }
        keys = msgspec.json.decode(server.body)
        server.body = msgspec.json.encode(metadata | keys)
        yield (
            issuer,
            {
                "SERVICE_OAUTH_BENCH_ISSUER": issuer,
                "SERVICE_OAUTH_BENCH_CLIENT_ID": _CLIENT,
            },
        )


async def follow(
    count: int,
    here: Place,
    issuer: str,
    service: Server,
    pods: Sequence[Server],
    tell: StatusLine,
) -> list[Row]:
    """Follow so many logouts of either kind, in turn."""
    connection = await Connection.to(service.endpoint)
    connections = [await Connection.to(each.endpoint) for each in pods]
    by_provider, by_person = list[float](), list[float]()
    async with open_stores(here.settings) as stores:
        upstream = UpstreamSessions(
            stores.redis_client, here.settings.refresh_ttl, 50, stores.sessions.feed_life,
            system_clock,
        )  # fmt: skip
        while len(by_provider) < count:
            tell(f"logouts of a provider seen by {len(pods)} pods: {len(by_provider)} of {count}")
            users = await here.seeder.accounts(min(_AT_ONCE, count - len(by_provider)))
            for user_id, session in zip(users, await here.seeder.open(users), strict=True):
                name = token_urlsafe()
                login = UpstreamLogin(digests_of(issuer, user_id.hex(), name), (0, 0))
                await upstream.note(login, user_id, session.tokens.session_id)
                token = _logout_token(issuer, name)
                took, _ = await end(connection, connections, token, 200, session)
                by_provider.append(took)
            for session in await here.seeder.open(users):
                took, _ = await end(connection, connections, logout(session), 204, session)
                by_person.append(took)
    metrics, from_post = ("lowest", "p50", "p99", "highest"), "logout from its POST on"
    return [
        *latency_rows(
            Row("propagation", f"{from_post}, provider's", "", 0), by_provider, *metrics, limit=50
        ),
        *latency_rows(
            Row("propagation", f"{from_post}, person's, the floor", "", 0), by_person, *metrics
        ),
    ]


def _logout_token(issuer: str, session: str) -> bytes:
    """Write the POST of a logout token that names a session of the provider's."""
    now = int(time.time())
    claims = {
        "iss": issuer, "aud": _CLIENT, "iat": now, "exp": now + 120, "jti": token_urlsafe(),
        "sid": session, "events": _EVENTS,
    }  # fmt: skip
    body = urlencode({"logout_token": sign(claims, typ="logout+jwt")}).encode()
    head = (
        f"POST {_PATH} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: a provider\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
