"""The guard, which app pods mount: checks access tokens without a round trip, and follows the ends
of sessions as they happen.

`asgi`, `fastapi` and `litestar` have it for apps; `Verifier` is what they share.
"""

from .guard import (
    GuardCounters,
    GuardError,
    GuardUnavailable,
    Identity,
    NotStarted,
    TokenRefused,
    Verifier,
    current_identity,
)

__all__ = [
    "GuardCounters",
    "GuardError",
    "GuardUnavailable",
    "Identity",
    "NotStarted",
    "TokenRefused",
    "Verifier",
    "current_identity",
]
