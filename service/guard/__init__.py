"""The guard, which app pods mount: checks access tokens without a round trip, and follows the ends
of sessions as they happen.

Needs neither the rest of the service nor its dependencies. Apps install the distribution
`openshow-guard` and import it as `openshow_guard` (`service/pyproject.toml`).
"""

from .counters import GuardCounters
from .errors import GuardError, GuardUnavailable, NotStarted, TokenRefused
from .identity import Identity, current_identity
from .verifier import Verifier

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
