"""The calls that are measured, as the bytes that clients send."""

import secrets
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from tools.bench.processes import HOST
from tools.bench.seeding import Seeder, Signed
from tools.http_load.loops import Lane
from tools.http_load.requests import request

_BATCH = 90
"""Access tokens of a batch: they fit into the largest body that is taken."""

_AS_A_BROWSER = (
    "Connection: keep-alive\r\n"
    "User-Agent: {}\r\n"
    "Accept: application/json\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
)
"""What a browser's `fetch` sends."""


class Call(msgspec.Struct, frozen=True):
    """A call: the status that it must be answered with, and the load it makes.

    It is one of the contract, or, `on_floor`, one that the floor's process answers.
    """

    name: str
    title: str
    status: int
    prepare: Callable[[Seeder, int, int], Awaitable[Sequence[Lane]]]
    """From a seeder, the number of connections and of requests on each."""
    on_floor: bool = False


async def _logout(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """Open a session of its own for each request, two for each user."""
    sessions = await seeder.open(_two_each(connections * count))
    requests = [logout(session) for session in sessions]
    return [Lane(requests[i::connections], count) for i in range(connections)]


async def _logout_junk(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """Send a token in the right form whose MAC is wrong: turned down without asking Redis."""
    sessions = await seeder.open(_two_each(connections))
    return [Lane([_end("/auth/logout", each, _forged(each))], count) for each in sessions]


async def _me(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """Have a signed-in person on each connection ask over and over."""
    sessions = await seeder.open(await seeder.accounts(connections))
    return [Lane([get("/auth/me", session)], count) for session in sessions]


async def _live(_: Seeder, connections: int, count: int) -> list[Lane]:
    """Have a load balancer on each connection ask whether the process serves."""
    return [Lane([request("GET", "/health/live", HOST)], count) for _ in range(connections)]


async def _me_first(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """Have as many people as requests ask, one after the other: the process knows none of them."""
    sessions = await seeder.open(await seeder.new_accounts(connections * count))
    requests = [get("/auth/me", session) for session in sessions]
    return [Lane(requests[i::connections], count) for i in range(connections)]


async def _refresh(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """Exchange a session's token on each connection for its successor, over and over.

    Two for each user; of users who are there, since a refresh looks.
    """
    users = await seeder.new_accounts((connections + 1) // 2)
    sessions = await seeder.open([user for user in users for _ in range(2)][:connections])
    return [
        Lane([_send("POST", "/auth/refresh", each, _body(each), "")], count, chained=True)
        for each in sessions
    ]


async def _enable(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """Have a signed-in person on each connection enrol; each request replaces the one before."""
    sessions = await seeder.open(await seeder.accounts(connections))
    return [Lane([_send("POST", "/auth/2fa/enable", each)], count) for each in sessions]


async def _introspect(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """Have a gateway on each connection ask for an access token of its own, over and over."""
    key, sessions = await seeder.api_key(), await seeder.open(_two_each(connections))
    form = "Content-Type: application/x-www-form-urlencoded\r\n"
    return [
        Lane([_asked(key, form, f"token={each.tokens.access_token}".encode())], count)
        for each in sessions
    ]


async def _introspect_batch(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """Have it ask for as many access tokens at once as go into a request."""
    key = await seeder.api_key()
    lanes = []
    for _ in range(connections):
        sessions = await seeder.open(_two_each(_BATCH))
        body = msgspec.json.encode({"tokens": [each.tokens.access_token for each in sessions]})
        kind = "Content-Type: application/json\r\n"
        lanes.append(Lane([_asked(key, kind, body, "/oauth/introspect/batch")], count))
    return lanes


def _asked(key: str, kind: str, body: bytes, path: str = "/oauth/introspect") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: a gateway\r\n"
        f"Authorization: Bearer {key}\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _on_floor(path: str) -> Callable[[Seeder, int, int], Awaitable[Sequence[Lane]]]:
    """Send what a logout sends to a handler of the floor."""

    async def prepare(seeder: Seeder, connections: int, count: int) -> list[Lane]:
        sessions = await seeder.open(_two_each(connections))
        return [Lane([_end(path, session)], count) for session in sessions]

    return prepare


FLOOR = Call("floor", "empty POST, the floor", 204, _on_floor("/"), on_floor=True)

CALLS = (
    Call("evalsha", "empty POST with a bare EVALSHA", 204, _on_floor("/evalsha"), on_floor=True),
    Call("logout", "POST /auth/logout", 204, _logout),
    Call("me", "GET /auth/me", 200, _me),
    Call("me_first", "GET /auth/me of people it has not seen", 200, _me_first),
    Call("refresh", "POST /auth/refresh", 200, _refresh),
    Call("enable", "POST /auth/2fa/enable", 200, _enable),
    Call("introspect", "POST /oauth/introspect", 200, _introspect),
    Call("introspect_batch", "POST /oauth/introspect/batch, 90 tokens", 200, _introspect_batch),
    Call("junk", "POST /auth/logout, forged token", 400, _logout_junk),
)
"""All calls, in the order in which they are measured."""

LIVE = Call("live", "GET /health/live, which asks no store", 200, _live)
"""What any answer of a worker takes that has other work, without Redis."""

BY_NAME = {call.name: call for call in (*CALLS, LIVE)}


def login(email: str, password: str) -> bytes:
    """Write a login as bytes."""
    body = {"email": email, "password": password}
    return request("POST", "/auth/login", HOST, body, more=_AS_A_BROWSER.format("A flood"))


def logout(session: Signed) -> bytes:
    """Write a logout as bytes."""
    return _end("/auth/logout", session)


def get(path: str, session: Signed) -> bytes:
    """Write a signed-in GET as bytes."""
    return _send("GET", path, session)


def _two_each(sessions: int) -> list[bytes]:
    """Make user ids for so many sessions; without accounts, which no logout looks at."""
    return [user for _ in range(sessions) for user in [secrets.token_bytes(16)] * 2][:sessions]


def _forged(session: Signed) -> str:
    text = session.tokens.refresh_token
    return text[:-1] + ("A" if text[-1] != "A" else "B")


def _body(session: Signed, refresh_token: str | None = None) -> dict[str, str]:
    return {"refreshToken": refresh_token or session.tokens.refresh_token}


def _end(path: str, session: Signed, refresh_token: str | None = None) -> bytes:
    return _send("POST", path, session, _body(session, refresh_token))


def _send(
    method: str,
    path: str,
    session: Signed,
    body: dict[str, str] | None = None,
    access_token: str | None = None,
) -> bytes:
    """Write a request with the session's access token, or another, or an empty one: none."""
    if access_token is None:
        access_token = session.tokens.access_token
    more = _AS_A_BROWSER.format(session.client.user_agent)
    return request(method, path, HOST, body, access_token, more)
