"""What an app pod mounts: access tokens checked here, without a round trip, and ends of sessions
followed as they happen.

Needs neither the rest of the service nor its dependencies. Apps install the distribution
`openshow-guard` and import it as `openshow_guard` (`service/pyproject.toml`).
"""

from .counters import GuardCounters
from .errors import GuardError, GuardUnavailable, NotStarted, TokenRefused
from .identity import Identity
from .verifier import Verifier

__all__ = [
    "GuardCounters",
    "GuardError",
    "GuardUnavailable",
    "Identity",
    "NotStarted",
    "TokenRefused",
    "Verifier",
]
