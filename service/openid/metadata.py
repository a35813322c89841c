"""A provider's metadata (OpenID Connect Discovery 1.0, section 3)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from service.errors import ProviderFailed
from service.openid.jose import ALGORITHMS
from service.settings import Provider
from service.settings.values import is_web_address

_PATH = "/.well-known/openid-configuration"
_COMMON, _TENANT = "/common/", "/{tenantid}/"
_TENANT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Metadata(msgspec.Struct, frozen=True):
    """What is read of it. Endpoints are https, or on loopback as the issuer is."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    id_token_signing_alg_values_supported: Sequence[str] = ("RS256",)
    token_endpoint_auth_methods_supported: Sequence[str] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False

    @property
    def algorithms(self) -> frozenset[str]:
        """Which of the algorithms that we accept the provider signs with."""
        return ALGORITHMS & frozenset(self.id_token_signing_alg_values_supported)

    def issuer_of(self, claims: Mapping[str, Any]) -> str:
        """Return what `iss` must be. At a provider with tenants it names that of the token."""
        tenant = claims.get("tid")
        if _TENANT in self.issuer and isinstance(tenant, str) and _TENANT_ID.fullmatch(tenant):
            return self.issuer.replace(_TENANT, f"/{tenant}/")
        return self.issuer


def address(provider: Provider) -> str:
    """Return where the metadata of a provider lies."""
    return provider.issuer.rstrip("/") + _PATH


def read(document: Any, provider: Provider) -> Metadata:
    """Read the metadata of this provider.

    Raises:
        ProviderFailed: it is no such document, or another issuer's.
    """
    try:
        found = msgspec.convert(document, Metadata)
    except msgspec.ValidationError:
        raise ProviderFailed("the provider's metadata cannot be read") from None
    expected = provider.issuer
    if provider.tenants:
        expected = expected.replace(_COMMON, _TENANT)
    if found.issuer != expected:
        raise ProviderFailed("the provider's metadata is that of another issuer")
    endpoints = [found.authorization_endpoint, found.token_endpoint, found.jwks_uri]
    if found.userinfo_endpoint:
        endpoints.append(found.userinfo_endpoint)
    if not all(_is_endpoint(each, provider) for each in endpoints):
        raise ProviderFailed("the provider's metadata names an endpoint that is not https")
    return found


def _is_endpoint(url: str, provider: Provider) -> bool:
    """Tell whether it may be asked: in clear only where the provider is this machine anyway."""
    if not url.isascii() or not url.isprintable() or "#" in url or not is_web_address(url):
        return False
    return url.startswith("https:") or provider.issuer.startswith("http:")
