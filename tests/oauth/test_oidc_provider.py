"""Against npm's oidc-provider, the strictest there is: login, and logout that it starts."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, Person, ServiceProcess, claims_of

from tests.support.living import lend
from tests.support.looking import ON_VALKEY
from tests.support.node import provider_running
from tests.support.provider import SECRET
from tests.support.provider_app import RETURN, challenge_of, fragment_of, new_verifier

pytestmark = ON_VALKEY

CALLBACK = "http://127.0.0.1:8000/auth/oauth/npm/callback"
"""By the default of SERVICE_ISSUER; the test takes people to the port that it is."""


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The provider, in a process of its own."""
    with provider_running("oidc_provider.mjs", CALLBACK, SECRET) as url:
        yield url


@pytest.fixture(scope="module")
def npm_service(
    redis_server: RedisServer, issuer: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    service = ServiceProcess(
        tmp_path_factory.mktemp("npm"),
        redis_server.url_of(SERVICE),
        SERVICE_OAUTH_NPM_ISSUER=issuer,
        SERVICE_OAUTH_NPM_CLIENT_ID="app",
        SERVICE_OAUTH_NPM_CLIENT_SECRET=SECRET,
        SERVICE_OAUTH_NPM_TRUST_EMAIL="on",
        SERVICE_OAUTH_REDIRECTS=RETURN,
        **PATIENT,
    )
    yield from lend("npm_service", service)


async def log_in(service: ServiceProcess, account: str) -> httpx.Response:
    """As a browser would, from start to complete."""
    verifier = new_verifier()
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as http:
        body = {"redirectUri": RETURN, "codeChallenge": challenge_of(verifier)}
        started = await http.post("/auth/oauth/npm/start", json=body)
        assert started.status_code == 200, started.text
        there = started.json()["authorizationUrl"] + f"&login_hint={account}"
        async with httpx.AsyncClient(timeout=30) as browser:
            while not there.startswith(CALLBACK):
                answer = await browser.get(there)
                assert answer.status_code in (302, 303), answer.text
                there = str(answer.url.join(answer.headers["location"]))
        query = urlsplit(there).query
        assert set(dict(parse_qsl(query))) == {"code", "state", "iss"}
        found = fragment_of(await http.get(f"/auth/oauth/npm/callback?{query}"))
        complete = {"grant": found["grant"], "codeVerifier": verifier}
        return await http.post("/auth/oauth/complete", json=complete)


async def test_log_in_and_be_logged_out(
    npm_service: ServiceProcess, keys: RedisServer, issuer: str
) -> None:
    """The address is that of its userinfo; its logout tokens are taken, and end what they name."""
    first = await log_in(npm_service, "ann")
    assert first.status_code == 201, first.text
    user = first.json()["user"]
    assert (user["email"], user["emailVerified"]) == ("ann@example.com", True)
    assert claims_of(first.json()["accessToken"])["amr"] == ["fed"]
    second, bob = await log_in(npm_service, "ann"), await log_in(npm_service, "bob")
    assert (second.status_code, bob.status_code) == (200, 201)
    assert second.json()["user"]["id"] == user["id"]
    to = f"{npm_service.url}/auth/oauth/npm/backchannel-logout"
    async with httpx.AsyncClient(base_url=npm_service.url, timeout=30) as http:
        people = [Person(http, "", answer.json()) for answer in (first, second, bob)]
        ended = await http.get(f"{issuer}/end", params={"sub": "ann", "sid": "no-such", "to": to})
        assert ended.status_code == 200, ended.text
        assert [(await each.me()).status_code for each in people] == [200, 200, 200]
        assert noted(keys, people[0]) == 2  # by the subject, and by the session of its own
        await http.get(f"{issuer}/end", params={"sub": "ann", "to": to})
        statuses = [(await each.me()).status_code for each in people]
        assert statuses == [401, 401, 200]


def noted(keys: RedisServer, person: Person) -> int:
    """By how many names of the provider's the session is known."""
    member = person.user_id + bytes.fromhex(person.session_id)
    with keys.client() as client:
        names = client.scan_iter(match="ticket:*:upstream:*")
        return sum(client.hexists(name, member) for name in names)
