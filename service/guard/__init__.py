"""What an app pod mounts: access tokens checked here, without a round trip, and ends of sessions
followed as they happen.

Needs neither the rest of the service nor its dependencies: `pip install openshow-auth`.
"""

from service.guard.counters import GuardCounters
from service.guard.errors import GuardError, GuardUnavailable, NotStarted, TokenRefused
from service.guard.identity import Identity
from service.guard.verifier import Verifier

__all__ = [
    "GuardCounters",
    "GuardError",
    "GuardUnavailable",
    "Identity",
    "NotStarted",
    "TokenRefused",
    "Verifier",
]
