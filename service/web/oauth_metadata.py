"""The metadata of RFC 8414. There is no authorization endpoint and no token endpoint: people log in
by calls of our own, and what is offered to other software are keys, revocation, introspection."""

import msgspec


class OAuthMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of an authorization server (RFC 8414, section 2).

    What says that relying parties are told of logouts is registered for this document, too (OpenID
    Connect Back-Channel Logout 1.0, section 5.2).
    """

    issuer: str
    jwks_uri: str
    revocation_endpoint: str
    revocation_endpoint_auth_methods_supported: tuple[str, ...] = ("none",)
    introspection_endpoint: str
    introspection_endpoint_auth_methods_supported: tuple[str, ...] = ("Bearer",)
    response_types_supported: tuple[str, ...] = ()
    grant_types_supported: tuple[str, ...] = ()
    backchannel_logout_supported: bool = True
    backchannel_logout_session_supported: bool = True


def oauth_metadata(issuer: str, root: str) -> bytes:
    """Spell the metadata of this issuer, whose name stands there exactly as it is set.

    `root` is the address before the paths of the service, without a slash at its end.
    """
    return msgspec.json.encode(
        OAuthMetadata(
            issuer=issuer,
            jwks_uri=f"{root}/.well-known/jwks.json",
            revocation_endpoint=f"{root}/oauth/revoke",
            introspection_endpoint=f"{root}/oauth/introspect",
        )
    )
