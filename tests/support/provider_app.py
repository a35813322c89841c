"""An app whose people log in at an OpenID provider, and a provider's people."""

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from tools.testbed.service_process import Person

from tests.support.provider import Provider

RETURN = "https://app.example/signed-in?a=1"


def new_verifier() -> str:
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class App:
    """Asks one service, about one provider of those of `provider`."""

    def __init__(self, http: httpx.AsyncClient, provider: Provider, name: str = "one") -> None:
        self.http = http
        self.provider = provider
        self.name = name

    def at(self, name: str) -> "App":
        return App(self.http, self.provider, name)

    async def ask_start(
        self, bearer: dict[str, str] | None = None, **body: object
    ) -> httpx.Response:
        """Begin a login, or with a bearer a link."""
        return await self.http.post(
            f"/auth/oauth/{self.name}/{'link' if bearer else 'start'}",
            json={"redirectUri": RETURN, "codeChallenge": challenge_of("x")} | body,
            headers=bearer or {},
        )

    async def start(self, bearer: dict[str, str] | None = None) -> tuple[str, str]:
        """Where the person is sent, and the verifier."""
        verifier = new_verifier()
        answer = await self.ask_start(bearer, codeChallenge=challenge_of(verifier))
        assert answer.status_code == 200, answer.text
        return answer.json()["authorizationUrl"], verifier

    async def come_back(self, sent: dict[str, str], *, by_post: bool = False) -> httpx.Response:
        path = f"/auth/oauth/{self.name}/callback"
        if by_post:
            return await self.http.post(path, data=sent)
        return await self.http.get(path, params=sent)

    async def grant(
        self, subject: str = "", bearer: dict[str, str] | None = None, **wishes: Any
    ) -> tuple[str, str]:
        """Log in at the provider as far as a grant; the grant and its verifier."""
        url, verifier = await self.start(bearer)
        found = fragment_of(await self.come_back(self.provider.log_in(url, subject, **wishes)))
        assert list(found) == ["grant"], found
        return found["grant"], verifier

    async def complete(self, grant: str, verifier: str, **body: Any) -> httpx.Response:
        return await self.http.post(
            "/auth/oauth/complete", json={"grant": grant, "codeVerifier": verifier} | body
        )

    async def log_in(
        self,
        subject: str = "",
        email: str | None = None,
        verified: Any = True,
        bearer: dict[str, str] | None = None,
        **claims: Any,
    ) -> httpx.Response:
        """Log in, or link, from the beginning to the end; the answer of complete."""
        told = {"email": email, "email_verified": verified} if email else {}
        return await self.complete(*await self.grant(subject, bearer=bearer, claims=told | claims))

    async def failure(self, subject: str = "", **wishes: Any) -> str:
        """Log in at a provider that does wrong; what the app is told."""
        url, _ = await self.start()
        found = fragment_of(await self.come_back(self.provider.log_in(url, subject, **wishes)))
        assert list(found) == ["error"], found
        return found["error"]

    async def log_out(self, token: str) -> httpx.Response:
        """As the provider does."""
        return await self.http.post(
            f"/auth/oauth/{self.name}/backchannel-logout", data={"logout_token": token}
        )


def person(app: App, answer: httpx.Response) -> Person:
    """Who has logged in."""
    assert answer.status_code in (200, 201), answer.text
    body = answer.json()
    return Person(app.http, body["user"]["email"], body)


def fragment_of(answer: httpx.Response) -> dict[str, str]:
    """What stands behind the # of where somebody is sent."""
    assert answer.status_code == 303, answer.text
    assert answer.headers["cache-control"] == "no-store"
    there = answer.headers["location"]
    assert there.startswith(RETURN + "#")
    return dict(parse_qsl(urlsplit(there).fragment, strict_parsing=True))


def new_email() -> str:
    return f"{secrets.token_hex(8)}@example.com"
