"""A provider that speaks OpenID Connect: the authorization code flow with PKCE, state and nonce."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

import msgspec

from service.clock import Clock
from service.errors import ProviderFailed
from service.openid import id_tokens, jose, logout_tokens, metadata
from service.openid.budget import both, in_time
from service.openid.errors import TokenInvalid
from service.openid.logout_tokens import Logout
from service.openid.metadata import Metadata
from service.openid.provider_keys import ProviderKeys
from service.openid.single_flight import SingleFlight
from service.openid.subjects import Subject, email_of
from service.settings import Provider

if TYPE_CHECKING:  # httpx takes its time to be imported, and most have no provider
    from service.openid.http import ProviderHttp

_METADATA_GOOD_FOR = 600.0


class Flow(msgspec.Struct, frozen=True):
    """What one login is bound to: our address, state, nonce, and the verifier of RFC 7636."""

    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    challenge: str

    def __repr__(self) -> str:
        return "Flow()"


class ProviderClient:
    """Logs people in at one provider.

    What asks it raises `ProviderUnavailable` where it does not answer in time (`budget.py`), and
    `ProviderFailed` where it answers, and not as it must.
    """

    def __init__(self, provider: Provider, http: "ProviderHttp", clock: Clock) -> None:
        self.provider = provider
        self._http = http
        self._clock = clock
        self._keys = ProviderKeys(http)
        self._metadata: tuple[float, Metadata] | None = None
        self._discovery = SingleFlight[Metadata]()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def prepare(self) -> None:
        """Read the provider's metadata, if that was not done a while ago."""
        await self._discover()

    async def authorization_url(self, flow: Flow) -> str:
        """Return where to send the person (OpenID Connect, section 3.1.2.1; RFC 7636)."""
        found = await self._discover()
        parameters = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": flow.redirect_uri,
            "scope": " ".join(self.provider.scopes),
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": flow.challenge,
            "code_challenge_method": "S256",
        }
        if self.provider.form_post:
            parameters["response_mode"] = "form_post"
        return with_query(found.authorization_endpoint, parameters)

    async def authenticate(self, code: str, issuer: str | None, flow: Flow) -> Subject:
        """Exchange the code for who the person is. `issuer`: as the callback has it (RFC 9207)."""
        async with in_time():
            found = await self._discover()
            # Keys are fetched while the code is exchanged: one that was withdrawn is none any more.
            tokens, keys = await both(
                self._exchange(found, code, flow), self._keys.fetch(found.jwks_uri)
            )
            claims = await self._id_token(found, tokens, keys, flow.nonce)
            self._check_sender(found, issuer, claims)
            source = claims if "email" in claims else await self._userinfo(found, tokens, claims)
        email, claimed = email_of(source, trusted=self.provider.trust_email)
        session = claims.get("sid")
        return Subject(
            provider=self.provider.id,
            issuer=claims["iss"],
            subject=claims["sub"],
            email=email,
            claimed=claimed,
            session=session if isinstance(session, str) and len(session) <= 255 else "",
        )

    async def logged_out(self, token: str) -> Logout:
        """Read a logout token that the provider, or anybody, has sent.

        Raises:
            TokenInvalid
        """
        unverified = jose.parse(token)
        async with in_time():
            found = await self._discover()
            logout = logout_tokens.check(
                unverified, found, self.provider.client_id, self._clock().timestamp()
            )
            await self._keys.verify(unverified, found.jwks_uri, found.algorithms)
        return logout

    async def _discover(self) -> Metadata:
        """Return the metadata, read a while ago at the most; that takes no longer than a budget."""
        if self._metadata and time.monotonic() - self._metadata[0] < _METADATA_GOOD_FOR:
            return self._metadata[1]
        return await self._discovery.do(self._read_metadata)

    async def _read_metadata(self) -> Metadata:
        document = await self._http.get(metadata.address(self.provider))
        found = metadata.read(document, self.provider)
        self._metadata = time.monotonic(), found
        return found

    async def _exchange(self, found: Metadata, code: str, flow: Flow) -> Mapping[str, Any]:
        """Exchange the code (RFC 6749, section 4.1.3), authenticated as the provider prefers."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "code_verifier": flow.verifier,
        }
        basic, name = None, self.provider.client_id
        secret = self.provider.client_secret.reveal()
        supported = found.token_endpoint_auth_methods_supported
        if secret and "client_secret_basic" in supported:
            basic = quote_plus(name), quote_plus(secret)  # RFC 6749, section 2.3.1
        else:
            form["client_id"] = name
            if secret:
                form["client_secret"] = secret
        tokens = await self._http.post(found.token_endpoint, form, basic)
        if not isinstance(tokens, dict):
            raise ProviderFailed("the provider's tokens cannot be read")
        return tokens

    async def _id_token(
        self, found: Metadata, tokens: Mapping[str, Any], keys: Sequence[jose.Jwk], nonce: str
    ) -> Mapping[str, Any]:
        try:
            token = jose.parse(tokens.get("id_token"))
            claims = id_tokens.check(
                token, found, self.provider.client_id, nonce, self._clock().timestamp()
            )
            try:
                jose.verify(token, keys, found.algorithms)
            except jose.KeyUnknown:  # it may be newer than the set, which was asked for before
                jose.verify(token, await self._keys.fetch(found.jwks_uri), found.algorithms)
        except TokenInvalid as error:
            raise ProviderFailed(f"the provider's ID token is refused: {error}") from None
        return claims

    def _check_sender(self, found: Metadata, issuer: str | None, claims: Mapping[str, Any]) -> None:
        """Check who has sent the person back, where they say so (RFC 9207, section 2.4)."""
        if issuer is None and not found.authorization_response_iss_parameter_supported:
            return
        if issuer not in (claims["iss"], found.issuer):
            raise ProviderFailed("somebody else has sent the person back")

    async def _userinfo(
        self, found: Metadata, tokens: Mapping[str, Any], claims: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Ask for the address that the ID token has not (OpenID Connect, section 5.3)."""
        access_token = tokens.get("access_token")
        if not found.userinfo_endpoint or not isinstance(access_token, str):
            return {}
        answer = await self._http.get(found.userinfo_endpoint, access_token)
        if not isinstance(answer, dict) or answer.get("sub") != claims["sub"]:
            raise ProviderFailed("the provider's userinfo is about somebody else")
        return answer


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """Add parameters to the query of a URL, which may have one (RFC 6749, section 3.1)."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"
