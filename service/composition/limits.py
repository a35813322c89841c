"""Makes what counts attempts from the settings."""

from datetime import timedelta

from service.keyring.keys import ServiceKeys
from service.rate_limits import Limit, Limits, RateLimits
from service.redis.client import RedisClient
from service.settings import Settings

_LONGEST_WAIT = timedelta(days=1)
"""Of those who have entered many wrong codes in a row."""


def create_rate_limits(settings: Settings, redis: RedisClient, keys: ServiceKeys) -> RateLimits:
    """Create what counts attempts."""
    return RateLimits(redis, keys.email_digest_key, _limits(settings))


def _limits(settings: Settings) -> Limits:
    on = settings.rate_limit
    return Limits(
        account_network=Limit.at("account-network", settings.limit_account_network),
        account=Limit.at("account", settings.limit_account),
        network=Limit.at("network", settings.limit_network) if on else None,
        signups=Limit.at("signups", settings.limit_signups) if on else None,
        resets=Limit.at("resets", settings.limit_resets) if on else None,
        codes=Limit.at("codes", settings.limit_codes),
        codes_in_a_row=Limit(
            "codes-in-a-row",
            settings.limit_codes_in_a_row,
            settings.limit_codes.window,
            _LONGEST_WAIT,
        ),
        provider_starts=Limits().provider_starts if on else None,
        calls=Limit.at("calls", settings.limit_calls) if on else None,
        api_keys=Limits().api_keys if on else None,
    )
