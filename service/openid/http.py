"""HTTP to one provider: bounded in time and bytes, and it follows no redirect."""

import functools
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
import msgspec

from service.errors import ProviderFailed, ProviderUnavailable

_LARGEST = 1_048_576
_MOST_PIECES = 4096  # of a body: a byte each, a megabyte of them kept others waiting for seconds
_LONGEST_TOKEN = 65_536
_MOST_CONNECTIONS = 20
_TIMEOUT = 2.0
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # so that what is read is as long as what comes out of it
    "User-Agent": "openshow-auth",
}


class ProviderHttp:
    """Asks one provider, over connections that no other provider's slowness can use up.

    Neither proxies nor passwords (`.netrc`) of the environment are used; its certificates are. No
    cookie is kept: it would go with everybody's calls, and too many have them refused for good.

    Each method raises:
        ProviderUnavailable: it cannot be reached, does not answer in time, or says that it cannot.
        ProviderFailed: it answers, and not as it must.
    """

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            headers=_HEADERS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_connections=_MOST_CONNECTIONS),
            verify=_authorities(),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, url: str, bearer: str = "") -> Any:
        """Read JSON. `bearer`: the access token that it takes."""
        headers = {"Authorization": f"Bearer {_sendable(bearer)}"} if bearer else {}
        return await self._ask("GET", url, headers=headers)

    async def post(
        self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None = None
    ) -> Any:
        """Send a form, and read JSON. `basic`: name and password."""
        auth = httpx.BasicAuth(*basic) if basic else None
        return await self._ask("POST", url, data=dict(form), auth=auth)

    async def _ask(self, method: str, url: str, **more: Any) -> Any:
        async with _failures(), self._client.stream(method, url, **more) as answer:
            if answer.status_code >= 500 or answer.status_code == 429:
                raise ProviderUnavailable(f"the provider answers {answer.status_code}")
            if answer.status_code != httpx.codes.OK:
                raise ProviderFailed(f"the provider answers {answer.status_code}")
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise ProviderFailed("the provider answers compressed, which was not asked for")
            body, pieces = bytearray(), 0
            async for chunk in answer.aiter_raw():
                body += chunk
                pieces += 1
                if pieces > _MOST_PIECES:
                    raise ProviderFailed("the provider's answer is in too many pieces")
                if len(body) > _LARGEST:
                    raise ProviderFailed("the provider's answer is too long")
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProviderFailed("the provider's answer is not JSON") from None


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Read whom to trust, once for all providers: `SSL_CERT_FILE`, `SSL_CERT_DIR`, or certifi's."""
    return httpx.create_ssl_context(trust_env=True)


def _sendable(token: str) -> str:
    """Return an access token of a provider's that can stand in a header."""
    if not token.isascii() or not token.isprintable() or len(token) > _LONGEST_TOKEN:
        raise ProviderFailed("the provider's access token cannot be sent")
    return token


@asynccontextmanager
async def _failures() -> AsyncIterator[None]:
    """Turn what httpx raises into errors that quote nothing of what was sent or answered."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise ProviderUnavailable(
            f"the provider cannot be reached ({type(error).__name__})"
        ) from None
