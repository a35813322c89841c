"""GitHub, which has no ID tokens for people: plain OAuth 2.0 with PKCE, and calls of its API.

Its issuer is the address of the site. An Enterprise server has its API at the same one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from service.errors import ProviderFailed
from service.openid.budget import in_time
from service.openid.client import Flow, with_query
from service.openid.errors import TokenInvalid
from service.openid.logout_tokens import Logout
from service.openid.subjects import LONGEST_EMAIL, Subject
from service.settings import Provider

if TYPE_CHECKING:
    from service.openid.http import ProviderHttp

_SITE, _API = "https://github.com", "https://api.github.com"


class GitHubClient:
    """Logs people in at GitHub. Raises as `ProviderClient`.

    The one who is known is the number of the account: names are given to others.
    """

    def __init__(self, provider: Provider, http: "ProviderHttp") -> None:
        self.provider = provider
        self._http = http
        self._site = provider.issuer.rstrip("/")
        self._api = _API if self._site == _SITE else f"{self._site}/api/v3"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def prepare(self) -> None:
        """Do nothing: there is no metadata."""

    async def authorization_url(self, flow: Flow) -> str:
        """Return where to send the person."""
        parameters = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": flow.redirect_uri,
            "scope": " ".join(self.provider.scopes),
            "state": flow.state,
            "code_challenge": flow.challenge,
            "code_challenge_method": "S256",
        }
        return with_query(f"{self._site}/login/oauth/authorize", parameters)

    async def authenticate(self, code: str, issuer: str | None, flow: Flow) -> Subject:
        """Exchange the code for who the person is."""
        if issuer is not None and issuer.rstrip("/") not in (
            self._site,
            f"{self._site}/login/oauth",
        ):
            raise ProviderFailed("somebody else has sent the person back")
        async with in_time():
            token = await self._exchange(code, flow)
            user = await self._http.get(f"{self._api}/user", token)
            emails = await self._http.get(f"{self._api}/user/emails", token)
        number = user.get("id") if isinstance(user, dict) else None
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 2**64:
            raise ProviderFailed("the provider does not say who it is")
        email, verified = _primary(emails)
        return Subject(
            provider=self.provider.id,
            issuer=self.provider.issuer,
            subject=str(number),
            email=email,
            claimed=self.provider.trust_email and verified,
        )

    async def logged_out(self, token: str) -> Logout:
        """Refuse: it has no logout tokens."""
        raise TokenInvalid("this provider sends none")

    async def _exchange(self, code: str, flow: Flow) -> str:
        form = {
            "grant_type": "authorization_code",
            "client_id": self.provider.client_id,
            "client_secret": self.provider.client_secret.reveal(),
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "code_verifier": flow.verifier,
        }
        tokens = await self._http.post(f"{self._site}/login/oauth/access_token", form)
        token = tokens.get("access_token") if isinstance(tokens, dict) else None
        if not isinstance(token, str) or not token:
            raise ProviderFailed("the provider gives no access token")  # its errors are 200, too
        return token


def _primary(emails: Any) -> tuple[str, bool]:
    """Read the address that the person is written to, and whether GitHub has verified it."""
    for each in emails if isinstance(emails, list) else ():
        if isinstance(each, Mapping) and each.get("primary") is True:
            email = each.get("email")
            if isinstance(email, str) and 0 < len(email) <= LONGEST_EMAIL:
                return email, each.get("verified") is True
    return "", False
