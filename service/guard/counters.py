"""The counters of a guard. Plain numbers, for whatever metrics the app has."""

import msgspec


class GuardCounters(msgspec.Struct):
    """How often each of these has happened since the start."""

    verified: int = 0
    """Checks that ended with an identity."""
    refused: int = 0
    """Checks that ended with `TokenRefused`."""
    unavailable: int = 0
    """Checks that ended with `GuardUnavailable`."""
    cached: int = 0
    """Checks whose token's signature had been verified before."""
    asked: int = 0
    """Questions to Redis whether a session lives."""
    served_stale: int = 0
    """Checks that ended with an identity though the feed was lost (`when_lost="serve"`)."""
    feed_breaks: int = 0
    """How often a connection for the feed broke, or could not be made."""
    feed_rereads: int = 0
    """How often a stream was read again from its beginning, to join what was known."""
    feed_losses: int = 0
    """How often entries that still matter were missing then."""
    feed_unknown: int = 0
    """Entries of a kind that this guard does not know: the service is newer than the guard."""
    key_fetches: int = 0
    """Fetches of the JWK set, failed ones included."""
    key_failures: int = 0
    """Fetches of the JWK set that failed."""
