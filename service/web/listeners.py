"""Which addresses are served on which of the service's sockets.

Where operators have a socket of their own (`SERVICE_OPERATIONS_BIND`), metrics and the description
of this API are served there alone, and the public one says of readiness only what a load balancer
needs: whether each part can serve. Where their own HTTP is on (`SERVICE_ADMIN_BIND`), it is an app
of its own, which none of the other sockets reaches.
"""

from typing import Literal

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

LISTENER = "listener"
"""The name in the state of a request's scope of the socket it came by; without it, there is one."""

Listener = Literal["public", "operations", "admin"]

OPERATIONS = frozenset({"/metrics", "/health/live", "/health/ready"})
"""What programs of operators ask, never browsers."""

_SCHEMA = "/schema"


def names_of(*, operations: bool, admin: bool) -> list[Listener | None]:
    """Name the sockets, in their order. `None`: the public one, where it serves metrics as well."""
    names: list[Listener | None] = ["public" if operations else None]
    if operations:
        names.append("operations")
    if admin:
        names.append("admin")
    return names


def is_served(scope: Scope) -> bool:
    """Tell whether the path of a request is one that is served where it came in."""
    listener = scope["state"].get(LISTENER)
    if listener is None or listener == "admin":
        return True
    path = scope["path"]
    is_schema = path == _SCHEMA or path.startswith(f"{_SCHEMA}/")
    if listener == "operations":
        return is_schema or path in OPERATIONS
    return not is_schema and path != "/metrics"


def shows_details(scope: Scope) -> bool:
    """Tell whether whoever asks may see versions, settings and reasons."""
    return scope["state"].get(LISTENER) != "public"


class AdminDispatch:
    """ASGI app that hands what comes by the socket of operators' HTTP to the app of that."""

    def __init__(self, app: ASGIApp, admin: ASGIApp) -> None:
        self._app = app
        self._admin = admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand over one request. What begins and ends with the process is the first app's."""
        is_admin = scope["type"] == ScopeType.HTTP and scope["state"].get(LISTENER) == "admin"
        await (self._admin if is_admin else self._app)(scope, receive, send)
