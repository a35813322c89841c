"""Against npm's oauth2-mock-server, a stranger that makes broken tokens: none is believed."""

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from service.errors import ProviderFailed
from service.openid.client import Flow, ProviderClient
from service.openid.http import ProviderHttp
from service.openid.subjects import Subject
from service.settings import Provider as ProviderSettings, Secret
from tests.support.node import provider_running
from tests.support.provider_app import challenge_of

FLOW = Flow("https://us.example/callback", "state", "nonce", "v" * 43, challenge_of("v" * 43))
SECRET = "a client secret of thirty-two bytes"
NOW = int(time.time())


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The provider, in a process of its own."""
    with provider_running("mock_server.mjs", SECRET) as url:
        yield url


@pytest.fixture
async def client(issuer: str) -> AsyncIterator[ProviderClient]:
    settings = ProviderSettings(
        id="mock",
        name="mock",
        issuer=issuer,
        client_id="app",
        client_secret=Secret(SECRET),
        trust_email=True,
    )
    made = ProviderClient(settings, ProviderHttp(), lambda: datetime.now(UTC))
    yield made
    await made.aclose()


async def log_in(client: ProviderClient, **wishes: Any) -> Subject:
    """Be sent there and back by a browser, and have the code exchanged."""
    async with httpx.AsyncClient() as browser:
        await browser.post(f"{client.provider.issuer}/next", json=wishes)
        back = await browser.get(await client.authorization_url(FLOW))
    sent = parse_qs(urlsplit(back.headers["location"]).query)
    assert sent["state"] == ["state"]
    return await client.authenticate(sent["code"][0], None, FLOW)


async def test_who_it_is(client: ProviderClient, issuer: str) -> None:
    """Whichever of its keys has signed; an address is claimed by the boolean alone."""
    for verified, claimed in ((True, True), (False, False), ("false", False), ("true", False)):
        claims = {"email": "a@b.example", "email_verified": verified}
        assert await log_in(client, claims=claims) == Subject(
            "mock", issuer, "johndoe", "a@b.example", claimed
        )


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "another nonce": ({"claims": {"nonce": "x"}}, "another login"),
    "no nonce": ({"claims": {"nonce": None}}, "another login"),
    "another aud": ({"claims": {"aud": "other"}}, "it is for another client"),
    "several aud": ({"claims": {"aud": ["app", "other"]}}, "it was made for another client"),
    "another azp": ({"claims": {"azp": "other"}}, "it was made for another client"),
    "another iss": ({"claims": {"iss": "https://other.example"}}, "another issuer"),
    "over": ({"claims": {"exp": NOW - 120}}, "it has expired"),
    "a kid that is not there": ({"header": {"kid": "nowhere"}}, "its key is not among"),
    "alg none": ({"forge": "none"}, "its algorithm is not accepted"),
    "HS256 with the client secret": ({"forge": "secret"}, "its algorithm is not accepted"),
    "HS256 with the public key": ({"forge": "publicKey"}, "its algorithm is not accepted"),
    "an old key": ({"forge": "oldKey"}, "its key is not among"),
    "another key of the same name": ({"forge": "sameName"}, "its signature is wrong"),
    "an algorithm that is not announced": ({"forge": "another"}, "its algorithm is not accepted"),
}


async def test_broken_tokens(client: ProviderClient) -> None:
    """Each is refused, for what is wrong with it, and who comes after it is not."""
    for name, (wishes, why) in BROKEN.items():
        with pytest.raises(ProviderFailed, match="the provider's ID token is refused") as caught:
            await log_in(client, **wishes)
        assert why in str(caught.value), name
    assert (await log_in(client)).subject == "johndoe"
