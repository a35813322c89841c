"""The guard as WSGI middleware: for Flask, Django and any other WSGI app.

    app.wsgi_app = GuardMiddleware(app.wsgi_app, verifier=Verifier(...), public=["/health"])

The verifier runs in a thread of its own (`verifier_thread.py`). A server has joined what was sent
twice by then, so two Authorization headers are one with a token that does not count.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from .admission import Admission
from .asgi_types import Scope
from .authentication import Answer, Refused
from .identity import Identity, current
from .options import check_yes_or_no
from .path_rules import PathRules
from .rules import Requirement
from .verifier import Verifier

Environ = dict[str, Any]
WSGIApp = Callable[[Environ, Any], Iterable[bytes]]

IDENTITY = "openshow_guard.identity"
"""Where the app finds who calls, in its environ."""

_HEADERS = {
    f"HTTP_{name.upper().replace('-', '_')}": name.encode()
    for name in (
        "authorization", "accept", "cookie", "origin", "sec-fetch-site",
        "access-control-request-method",
    )
}  # fmt: skip


class GuardMiddleware:
    """Middleware that asks for the access token of a living session on all but public paths."""

    def __init__(
        self,
        app: WSGIApp,
        verifier: Verifier,
        *,
        public: Iterable[str] = (),
        optional: Iterable[str] = (),
        require: Mapping[str, Requirement] = MappingProxyType({}),
        allow_preflight: bool = False,
        allow_cookie: bool = False,
    ) -> None:
        """Wrap an app. Nothing is started yet. The arguments are those of the ASGI middleware.

        Raises:
            ValueError: what is listed is no path, two lists contradict each other, or another
                argument cannot be used.
        """
        check_yes_or_no("allow_preflight", allow_preflight)
        check_yes_or_no("allow_cookie", allow_cookie)
        self._app = app
        self._admission = Admission(
            verifier,
            PathRules(public, optional, require),
            allow_preflight=allow_preflight,
            allow_cookie=allow_cookie,
        )

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Serve a request."""
        try:
            identity = self._admission.admit(scope_of(environ))
        except Refused as refused:
            return _refuse(refused.answer, environ, start_response)
        environ[IDENTITY] = identity
        before = current.set(identity)
        try:
            body = self._app(environ, start_response)
        finally:
            current.reset(before)
        file_wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(body, list | tuple) or (
            isinstance(file_wrapper, type) and isinstance(body, file_wrapper)
        ):
            return body
        return _Body(body, identity)


def scope_of(environ: Mapping[str, Any]) -> Scope:
    """Make as much of an ASGI scope as a rule and a credential are read from."""
    root, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return {
        "type": "http",
        "method": environ["REQUEST_METHOD"],
        "path": _decoded(root + path),
        "root_path": _decoded(root),
        "raw_path": raw.encode("latin-1", "replace"),
        "headers": headers_of(environ),
    }


def headers_of(environ: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return those headers that a credential is read from."""
    return [
        (header, environ[name].encode("latin-1", "replace"))
        for name, header in _HEADERS.items()
        if name in environ
    ]


def _decoded(path: str) -> str:
    """Read a path as UTF-8, which WSGI hands on as Latin-1 (PEP 3333)."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


class _Body:
    """A body that is made while it is sent. Whoever makes it is told who calls."""

    def __init__(self, body: Iterable[bytes], identity: Identity | None) -> None:
        self._body = body
        self._parts: Iterator[bytes] | None = None
        self._identity = identity

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part: bytes = self._as_current(self._next)
        return part

    def close(self) -> None:
        if hasattr(self._body, "close"):
            self._as_current(self._body.close)

    def _next(self) -> bytes:
        if self._parts is None:
            self._parts = iter(self._body)
        return next(self._parts)

    def _as_current(self, work: Callable[[], Any]) -> Any:
        before = current.set(self._identity)
        try:
            return work()
        finally:
            current.reset(before)


def _refuse(answer: Answer, environ: Environ, start_response: Any) -> Iterable[bytes]:
    body = answer.body
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *answer.headers,
    ]
    start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
