"""The outermost layer: what every request gets, whatever becomes of it inside.

It wraps the finished app, because 404 and 405 never reach Litestar's own middleware.
"""

import asyncio
import re
from collections.abc import Mapping

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from service.web.addresses import TrustedProxies
from service.web.answers import FRAMEWORK
from service.web.cors import CORS, Cors
from service.web.exchange import Exchange
from service.web.headers import HEADERS, NOSNIFF
from service.web.limits import LONGEST_CALLBACK_QUERY, LONGEST_PATH, LONGEST_QUERY, MOST_FIELDS
from service.web.listeners import OPERATIONS, is_served

_SAFE = ("GET", "HEAD")
_SESSIONS = b"/auth/sessions"
_CALLBACK = re.compile(rb"/auth/oauth/[a-z0-9]+/callback")
_MALFORMED_ID = "/auth/sessions/-"

_HSTS = b"strict-transport-security", b"max-age=31536000"


class RequestMiddleware:
    """ASGI middleware: a request id, a log line, two metrics, and an answer even to a defect."""

    def __init__(
        self,
        app: ASGIApp,
        moved: Mapping[str, str] | None = None,
        proxies: TrustedProxies | None = None,
        over_tls: bool = False,
        cors: Cors | None = None,
        root_path: str = "",
    ) -> None:
        """Wrap the app. `moved` has the new path of some that only resemble one of ours.

        `proxies` are believed when they name a client. `over_tls`: browsers reach us by https.
        `cors` is there if pages of other origins may call. `root_path` stands before each path,
        unless a proxy has taken it off.
        """
        self._app = app
        self._moved = moved or {}
        self._proxies = proxies or TrustedProxies()
        self._headers = (NOSNIFF, _HSTS) if over_tls else (NOSNIFF,)
        self._cors = cors
        self._root = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        if scope["type"] != ScopeType.HTTP:
            kind: str = scope["type"]
            if kind == "lifespan" and self._cors:
                scope["state"][CORS] = self._cors  # for the protocol, which refuses by itself
            await self._app(scope, receive, send)
            return
        if self._root and scope["path"].startswith(self._root):
            _take_off(scope, self._root)
        exchange = Exchange(scope, send, self._headers)
        is_preflight = self._cors is not None and exchange.share(self._cors)
        try:
            if (status := _refused(exchange.scope)) is None:
                if is_preflight:
                    await exchange.grant()
                else:
                    await self._app(exchange.scope, receive, exchange.send)
            elif status == 404 and scope["path"] in self._moved and scope["method"] in _SAFE:
                await exchange.redirect(self._root + self._moved[scope["path"]])
            else:
                await exchange.refuse(FRAMEWORK[status])
        except asyncio.CancelledError:  # the process stops and has waited for long enough
            await exchange.cut_off()  # nobody waits for this task, so nobody misses the error
        except Exception as error:  # the framework failed: still an answer, still a line in the log
            await exchange.fail(error)
        finally:
            exchange.record(self._proxies)


def _take_off(scope: HTTPScope, root_path: str) -> None:
    """Take the root path off, but for what operators ask: they ask the pod itself.

    Where a proxy takes it off as well, two of them would else lead past what it refuses.
    """
    path = scope["path"].removeprefix(root_path) or "/"
    if path.startswith("/") and path not in OPERATIONS:
        scope["path"], scope["raw_path"] = path, path.encode()


def _refused(scope: HTTPScope) -> int | None:
    """Return the status of a request that is refused on any route; `None`: it is not."""
    query = len(scope.get("query_string", b""))
    if query > LONGEST_QUERY and not (
        query <= LONGEST_CALLBACK_QUERY and _CALLBACK.fullmatch(scope["raw_path"])
    ):
        return 414
    if len(scope["headers"]) > MOST_FIELDS:  # type: ignore[arg-type]  # uvicorn's list
        return 431
    if b"," in scope["state"][HEADERS].get(
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
    if b"%" in raw and b"authorization" not in scope["state"][HEADERS]:
        return False  # nobody asks: another spelling of an address, as everywhere
    # It is in the place of an id, and none: the route, which knows who asks, says so. To Litestar,
    # which keeps paths, all of them are one.
    scope["path"], scope["raw_path"] = _MALFORMED_ID, _MALFORMED_ID.encode()
    return True
