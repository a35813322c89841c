"""Which addresses are served on which of the service's sockets.

Where operators have a socket of their own (`SERVICE_OPERATIONS_BIND`), metrics and the description
of this API are served there alone, and the public one says of readiness only what a load balancer
needs: whether each part can serve.
"""

from typing import Literal

from litestar.types import Scope

LISTENER = "listener"
"""The name in the state of a request's scope of the socket it came by; without it, there is one."""

Listener = Literal["public", "operations"]
LISTENERS: tuple[Listener, ...] = ("public", "operations")

_MOVED = frozenset({"/metrics", "/schema", "/schema/openapi.json"})
_OPERATIONS = _MOVED | {"/health/live", "/health/ready"}


def is_served(scope: Scope) -> bool:
    """Tell whether the path of a request is one that is served where it came in."""
    listener = scope["state"].get(LISTENER)
    if listener is None:
        return True
    return (
        (scope["path"] in _OPERATIONS) if listener == "operations" else scope["path"] not in _MOVED
    )


def shows_details(scope: Scope) -> bool:
    """Tell whether whoever asks may see versions, settings and reasons."""
    return scope["state"].get(LISTENER) != "public"
