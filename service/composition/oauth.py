"""Makes the use cases of other software that presents tokens."""

from service.authentication.owners import OwnerLookup
from service.composition.shared import Shared, create_refresh_tokens
from service.sessions.presented_tokens import PresentedTokens


def create_presented_tokens(shared: Shared) -> PresentedTokens:
    """Create introspection and revocation."""
    refresh_tokens = create_refresh_tokens(shared.keys.now)
    shared.keys.follow(
        lambda now: refresh_tokens.use(now.refresh_mac_keys, now.refresh_mac_current)
    )
    return PresentedTokens(
        shared.redis,
        shared.sessions,
        shared.access_tokens,
        refresh_tokens,
        OwnerLookup(shared.users),
        issuer=shared.settings.issuer,
    )
