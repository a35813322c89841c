"""Limits on attempts, for whatever takes a password or a code, and on calls."""

from service.rate_limits.attempts import RateLimits
from service.rate_limits.limits import Counter, Exemption, Limit, Limits

__all__ = ["Counter", "Exemption", "Limit", "Limits", "RateLimits"]
