"""The outermost layer: what every request gets, whatever becomes of it inside.

It wraps the finished app, because 404 and 405 never reach Litestar's own middleware.
"""

import asyncio
import base64
import random
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import structlog
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from service import logs
from service.web.addresses import TrustedProxies
from service.web.answers import FRAMEWORK, Answer
from service.web.errors import FAILURE, allow, as_json
from service.web.headers import NOSNIFF, Header, joined
from service.web.limits import LONGEST_PATH, LONGEST_QUERY, MOST_FIELDS
from service.web.listeners import is_served
from service.web.metrics.requests import observe

_ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")

_SAFE = ("GET", "HEAD")
_SESSIONS = b"/auth/sessions"
_MALFORMED_ID = "/auth/sessions/-"

_STOPPING = Answer(503, "service_unavailable", "This process is stopping; try again.")

_HSTS = b"strict-transport-security", b"max-age=31536000"
_NO_FAILURE = "", ""

log = structlog.get_logger()


class RequestLine(msgspec.Struct, omit_defaults=True, tag_field="event", tag="request"):
    """The log line of a request. It names the route, not the path as sent: that may hold secrets.

    `route` is `-` where there is none; `user` and `session` are there when the access token
    verified; `ms` is the time until the answer was handed to the server; `ip` is the client's
    address where it is known. `code` is that of an error, and `reason` says it for operators.
    """

    level: str
    time: datetime
    request_id: str
    method: str
    route: str
    status: int
    ms: float
    ip: str | None = None
    user: str | None = None
    session: str | None = None
    code: str = ""
    reason: str = ""


class RequestMiddleware:
    """ASGI middleware: a request id, a log line, two metrics, and an answer even to a defect."""

    def __init__(
        self,
        app: ASGIApp,
        moved: Mapping[str, str] | None = None,
        proxies: TrustedProxies | None = None,
        over_tls: bool = False,
    ) -> None:
        """Wrap the app. `moved` has the new path of some that only resemble one of ours.

        `proxies` are believed when they name a client. `over_tls`: browsers reach us by https.
        """
        self._app = app
        self._moved = moved or {}
        self._proxies = proxies or TrustedProxies()
        self._headers = (NOSNIFF, _HSTS) if over_tls else (NOSNIFF,)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._headers)
        try:
            if (status := _refused(exchange.scope)) is None:
                await self._app(exchange.scope, receive, exchange.send)
            elif status == 404 and scope["path"] in self._moved and scope["method"] in _SAFE:
                await exchange.redirect(self._moved[scope["path"]])
            else:
                await exchange.refuse(FRAMEWORK[status])
        except asyncio.CancelledError:  # the process stops and has waited for long enough
            await exchange.cut_off()  # nobody waits for this task, so nobody misses the error
        except Exception as error:  # the framework failed: still an answer, still a line in the log
            await exchange.fail(error)
        finally:
            exchange.record(self._proxies)


class _Exchange:
    """A request and its answer."""

    __slots__ = ("_headers", "_method", "_request_id", "_send", "_started", "_status", "scope")

    def __init__(self, scope: HTTPScope, send: Send, headers: Sequence[Header]) -> None:
        self._started = time.perf_counter()
        self._send = send
        self._status = 0
        self._method = scope["method"]
        fields: list[tuple[bytes, bytes]] = scope["headers"]  # type: ignore[assignment]  # uvicorn's
        sent = dict(fields)
        if len(sent) < len(fields):
            sent = joined(fields)
        self._request_id = _request_id(sent.get(b"x-request-id"))
        self._headers = headers
        # HEAD is GET; the server, which keeps the scope as it was, leaves out the body.
        self.scope = scope.copy() if self._method == "HEAD" else scope
        if self._method == "HEAD":
            self.scope["method"] = HttpMethod.GET
        self.scope["state"].update(request_id=self._request_id, headers=sent)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            request_id = b"x-request-id", self._request_id.encode()
            headers = [*message["headers"], request_id, *self._headers]
            if self._method == HttpMethod.OPTIONS:  # Litestar's own answer; it knows no HEAD
                headers = [
                    (n, allow(v.decode()).encode() if n == b"allow" else v) for n, v in headers
                ]
            message["headers"] = headers
        await self._send(message)

    async def refuse(self, answer: Answer, *more: tuple[bytes, bytes]) -> None:
        self.scope["state"][FAILURE] = answer.code, answer.message
        body = as_json(answer)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *more,
        ]
        await self.send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def redirect(self, path: str) -> None:
        start = {"location": path, "content-length": "0", "cache-control": "no-store"}
        headers = [(name.encode(), value.encode()) for name, value in start.items()]
        await self.send({"type": "http.response.start", "status": 308, "headers": headers})
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def fail(self, error: Exception) -> None:
        log.error("unhandled error", exc_info=error, request_id=self._request_id)
        if not self._status:  # else the server sees an unfinished answer and hangs up
            await self.refuse(FRAMEWORK[500])

    async def cut_off(self) -> None:
        if not self._status:
            await self.refuse(_STOPPING, (b"retry-after", b"1"))

    def record(self, proxies: TrustedProxies) -> None:
        seconds = time.perf_counter() - self._started
        scope = self.scope
        route = scope.get("path_template") or "-"
        state = scope["state"]
        code, reason = state.get(FAILURE, _NO_FAILURE)
        observe(route, self._method, self._status, seconds, code)
        if not logs.shows_requests():
            return
        caller = scope.get("user")
        peer, forwarded = scope.get("client"), state["headers"].get(b"x-forwarded-for", b"")
        logs.write(
            RequestLine(
                level="info",
                time=datetime.now(UTC),
                request_id=self._request_id,
                method=self._method,
                route=route,
                status=self._status,
                ms=round(seconds * 1000, 2),
                ip=proxies.client_text(peer[0], forwarded) if peer else None,
                user=caller.user_id.hex() if caller else None,
                session=caller.session_id.hex() if caller else None,
                code=code,
                reason=reason,
            )
        )


def _refused(scope: HTTPScope) -> int | None:
    """Return the status of a request that is refused on any route; `None`: it is not."""
    if len(scope.get("query_string", b"")) > LONGEST_QUERY:
        return 414
    if len(scope["headers"]) > MOST_FIELDS:  # type: ignore[arg-type]  # uvicorn's list
        return 431
    if b"," in scope["state"]["headers"].get(
        b"host", b""
    ):  # RFC 9112, section 3.2: one, and it has no comma
        return 400
    if not _is_canonical(scope) or not is_served(scope):
        return 404
    return None


def _is_canonical(scope: HTTPScope) -> bool:
    """Tell whether the path has one spelling only.

    Litestar takes `//metrics/` for what it resembles, and others take `/%6detrics` so; a proxy in
    front that lets some paths through and others not may see it otherwise.
    """
    raw = scope["raw_path"]
    if b"//" in raw or (raw[-1:] == b"/" and raw != b"/"):
        return False
    if len(raw) <= LONGEST_PATH and b"%" not in raw:
        return True
    if raw.rpartition(b"/")[0] != _SESSIONS:
        return False
    if b"%" in raw and b"authorization" not in scope["state"]["headers"]:
        return False  # nobody asks: another spelling of an address, as everywhere
    # It is in the place of an id, and none: the route, which knows who asks, says so. To Litestar,
    # which keeps paths, all of them are one.
    scope["path"], scope["raw_path"] = _MALFORMED_ID, _MALFORMED_ID.encode()
    return True


def _request_id(sent: bytes | None) -> str:
    """Return the request's own id if it is fit to be shown in logs and headers, else a new one."""
    if sent is not None and _ACCEPTABLE_ID.fullmatch(sent):
        return sent.decode()
    return mint_request_id()


def mint_request_id() -> str:
    """Mint a request id: 96 random bits. It names a request and is no secret."""
    return base64.urlsafe_b64encode(random.getrandbits(96).to_bytes(12)).decode()
