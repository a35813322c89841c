"""The calls that are measured, as the bytes that clients send."""

import secrets
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from tools.bench.processes import HOST
from tools.bench.seeding import Seeder, Signed
from tools.http_load.loops import Lane


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
    """A session of its own for each request, two for each user."""
    sessions = await seeder.open(_two_each(connections * count))
    requests = [logout(session) for session in sessions]
    return [Lane(requests[i::connections], count) for i in range(connections)]


async def _logout_junk(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """A token in the right form whose MAC is wrong: turned down without asking Redis."""
    sessions = await seeder.open(_two_each(connections))
    return [Lane([_post("/auth/logout", session, _forged(session))], count) for session in sessions]


async def _me(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """A signed-in person on each connection, who asks over and over."""
    sessions = await seeder.open(await seeder.accounts(connections))
    return [Lane([get("/auth/me", session)], count) for session in sessions]


async def _refresh(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """A session on each connection, whose token is exchanged for its successor over and over.

    Two for each user; of users who are there, since a refresh looks.
    """
    users = await seeder.new_accounts((connections + 1) // 2)
    sessions = await seeder.open([user for user in users for _ in range(2)][:connections])
    return [
        Lane([_post("/auth/refresh", session, _token(session), signed=False)], count, chained=True)
        for session in sessions
    ]


async def _enable(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """A signed-in person on each connection; every request replaces the enrolment before."""
    sessions = await seeder.open(await seeder.accounts(connections))
    return [Lane([_bare_post("/auth/2fa/enable", session)], count) for session in sessions]


async def _evalsha(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """What a logout sends, to a handler that has Redis do nothing."""
    return await _bodies("/evalsha", seeder, connections, count)


CALLS = (
    Call("evalsha", "empty POST with a bare EVALSHA", 204, _evalsha, on_floor=True),
    Call("logout", "POST /auth/logout", 204, _logout),
    Call("me", "GET /auth/me", 200, _me),
    Call("refresh", "POST /auth/refresh", 200, _refresh),
    Call("enable", "POST /auth/2fa/enable", 200, _enable),
    Call("junk", "POST /auth/logout, forged token", 400, _logout_junk),
)
"""All calls, in the order in which they are measured."""


BY_NAME = {call.name: call for call in CALLS}


async def floor_lanes(seeder: Seeder, connections: int, count: int) -> list[Lane]:
    """The floor's load: what a logout sends."""
    return await _bodies("/", seeder, connections, count)


async def _bodies(path: str, seeder: Seeder, connections: int, count: int) -> list[Lane]:
    sessions = await seeder.open(_two_each(connections))
    return [Lane([_post(path, session, _token(session))], count) for session in sessions]


def _two_each(sessions: int) -> list[bytes]:
    """User ids for so many sessions; without accounts, which no logout looks at."""
    return [user for _ in range(sessions) for user in [secrets.token_bytes(16)] * 2][:sessions]


def _token(session: Signed) -> str:
    return session.tokens.refresh_token


def _forged(session: Signed) -> str:
    text = _token(session)
    return text[:-1] + ("A" if text[-1] != "A" else "B")


def login(email: str, password: str) -> bytes:
    """A login as bytes."""
    body = msgspec.json.encode({"email": email, "password": password})
    return _with_body(_head("POST", "/auth/login", "A flood"), body)


def _post(path: str, session: Signed, refresh_token: str, *, signed: bool = True) -> bytes:
    body = msgspec.json.encode({"refreshToken": refresh_token})
    return _with_body(_head_of("POST", path, session, signed=signed), body)


def _bare_post(path: str, session: Signed) -> bytes:
    return _head_of("POST", path, session) + b"Content-Length: 0\r\n\r\n"


def logout(session: Signed) -> bytes:
    """A logout as bytes."""
    return _post("/auth/logout", session, _token(session))


def get(path: str, session: Signed) -> bytes:
    """A signed-in GET as bytes."""
    return _head_of("GET", path, session) + b"\r\n"


def _with_body(head: bytes, body: bytes) -> bytes:
    kind = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + kind + body


def _head_of(method: str, path: str, session: Signed, *, signed: bool = True) -> bytes:
    token = session.tokens.access_token if signed else None
    return _head(method, path, session.client.user_agent, token)


def _head(method: str, path: str, user_agent: str, access_token: str | None = None) -> bytes:
    """Request line and headers, as a browser's `fetch` sends them."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {HOST}",
        "Connection: keep-alive",
        f"User-Agent: {user_agent}",
        "Accept: application/json",
        "Accept-Encoding: gzip, deflate",
        "Accept-Language: en-GB,en;q=0.9",
    ]
    if access_token:
        lines.append(f"Authorization: Bearer {access_token}")
    return "".join(line + "\r\n" for line in lines).encode()
