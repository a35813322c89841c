"""One request and its answer, as the outermost layer sees them: id, headers, log line, metrics."""

import binascii
import random
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import structlog
from litestar.enums import HttpMethod
from litestar.types import HTTPScope, Message, Send

from service import logs
from service.web.addresses import TrustedProxies
from service.web.answers import FRAMEWORK, Answer
from service.web.cors import Cors
from service.web.errors import FAILURE, Failure, allow, shaped
from service.web.headers import HEADERS, Header, named_in
from service.web.metrics.requests import observe

_ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")

_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")

_STOPPING = Answer(503, "service_unavailable", "This process is stopping; try again.")

_NO_FAILURE = Failure("", "")

API_KEY = "api_key"
"""The name in the state of a request's scope of the id of the API key that was shown, in hex."""

TRACE = "trace"
"""The name there of the id of its trace."""

log = structlog.get_logger()


class RequestLine(msgspec.Struct, omit_defaults=True, tag_field="event", tag="request"):
    """The log line of a request. It names the route, not the path as sent: that may hold secrets.

    `route` is `-` where there is none; `user` and `session` are there when the access token
    verified, `api_key` (its id) when a key of other software was good; `ms` is the time until the
    answer was handed to the server; `ip` is the client's address where it is known. `code` is that
    of an error, and `reason` says it for operators; then `user` is whom it is about, or
    `account` the keyed digest of an address that nobody may have.
    `trace` is the id of the trace, where the request is traced.
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
    api_key: str | None = None
    account: str | None = None
    code: str = ""
    reason: str = ""
    trace: str | None = None


class Exchange:
    """A request and its answer."""

    __slots__ = (
        "_headers", "_method", "_request_id", "_send", "_started", "_status", "_trace", "scope"
    )  # fmt: skip

    def __init__(self, scope: HTTPScope, send: Send, headers: Sequence[Header]) -> None:
        """Take a request. `headers` go with its answer, whatever that is."""
        self._started = time.perf_counter()
        self._send = send
        self._status = 0
        self._method = scope["method"]
        state = scope["state"]
        self._trace: str | None = state.get(TRACE)
        self._request_id = _request_id(named_in(scope).get(b"x-request-id"), self._trace)
        self._headers = headers
        self.scope = scope
        if self._method == "HEAD":
            # HEAD is GET; the server, which keeps the scope as it was, leaves out the body.
            self.scope = scope.copy()
            self.scope["method"] = HttpMethod.GET
        state["request_id"] = self._request_id

    def share(self, cors: Cors) -> bool:
        """Let the page's origin read the answer, if it may. Tell whether this is a preflight."""
        sent = self.scope["state"][HEADERS]
        preflight = cors.preflight(sent) if self._method == "OPTIONS" else None
        self._headers = *self._headers, *(cors.answer(sent) if preflight is None else preflight)
        return preflight is not None

    async def send(self, message: Message) -> None:
        """Pass on what the app sends, its head with what every answer has."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            request_id = b"x-request-id", self._request_id.encode()
            headers = [*message["headers"], request_id, *self._headers]
            if self._method == "OPTIONS":  # Litestar's own answer; it knows no HEAD
                headers = [(n, self._allow(v.decode()) if n == b"allow" else v) for n, v in headers]
            message["headers"] = headers
        await self._send(message)

    def _allow(self, methods: str) -> bytes:
        """Spell the methods of an address, of which Litestar names those of the first handler."""
        return allow(self.scope["route_handler"].opt.get("methods", methods)).encode()

    async def refuse(self, answer: Answer, *more: Header) -> None:
        """Answer with an error."""
        message = answer.message or ""
        self.scope["state"][FAILURE] = Failure(answer.code, message)
        status, spelt = shaped(answer, self.scope["path"], message)
        body = msgspec.json.encode(spelt)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *more,
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def redirect(self, path: str) -> None:
        """Name the path that was meant."""
        start = {"location": path, "content-length": "0", "cache-control": "no-store"}
        await self._answer(308, [(name.encode(), value.encode()) for name, value in start.items()])

    async def grant(self) -> None:
        """Answer a preflight."""
        await self._answer(204, [])

    async def _answer(self, status: int, headers: list[Header]) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def fail(self, error: Exception) -> None:
        """Answer a defect."""
        log.error("unhandled error", exc_info=error, request_id=self._request_id)
        if not self._status:  # else the server sees an unfinished answer and hangs up
            await self.refuse(FRAMEWORK[500])

    async def cut_off(self) -> None:
        """Answer a request for which there is no time left."""
        if not self._status:
            await self.refuse(_STOPPING, (b"retry-after", b"1"))

    def record(self, proxies: TrustedProxies) -> None:
        """Count the request, and write its line into the log."""
        seconds = time.perf_counter() - self._started
        scope = self.scope
        route = scope.get("path_template") or "-"
        state = scope["state"]
        failure: Failure = state.get(FAILURE, _NO_FAILURE)
        observe(route, self._method, self._status, seconds, failure.code)
        if not logs.shows_requests():
            return
        caller = scope.get("user")
        user_id = caller.user_id if caller else failure.user_id
        peer, forwarded = scope.get("client"), state[HEADERS].get(b"x-forwarded-for", b"")
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
                user=user_id.hex() or None,
                session=caller.session_id.hex() if caller else None,
                api_key=state.get(API_KEY),
                account=None if user_id else failure.account.hex() or None,
                code=failure.code,
                reason=failure.reason,
                trace=self._trace,
            )
        )


def _request_id(sent: bytes | None, trace: str | None) -> str:
    """Return the request's own id if it is fit to be shown in logs and headers, else a new one.

    Without one it is that of the trace, if there is one.
    """
    if sent is None and trace is not None:
        return trace
    if sent is not None and _ACCEPTABLE_ID.fullmatch(sent):
        return sent.decode()
    return mint_request_id()


def mint_request_id() -> str:
    """Mint a request id: 96 random bits. It names a request and is no secret."""
    random_text = binascii.b2a_base64(random.getrandbits(96).to_bytes(12), newline=False)
    return random_text.translate(_TO_URL_SAFE).decode()
