"""What an app pod mounts: access tokens checked here, without a round trip, and ends of sessions
followed as they happen.

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
)

__all__ = [
    "GuardCounters",
    "GuardError",
    "GuardUnavailable",
    "Identity",
    "NotStarted",
    "TokenRefused",
    "Verifier",
]
