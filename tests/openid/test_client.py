"""What a provider says is believed only if all of it is right: metadata, keys, ID tokens."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from service.errors import ProviderFailed, ProviderUnavailable
from service.openid import budget, jose
from service.openid.client import Flow, ProviderClient
from service.openid.http import ProviderHttp
from service.openid.provider_keys import ProviderKeys
from service.openid.subjects import Subject
from service.settings import Provider as ProviderSettings, Secret
from tests.support.provider import (
    SECRET,
    Key,
    Misbehaviour,
    Provider,
    broken,
    crumbling,
    encoded,
    huge,
    redirecting,
    saying,
    send,
    slow,
)
from tests.support.provider_app import challenge_of
from tests.support.run_queue import Stopwatch

FLOW = Flow("https://us.example/callback", "state", "nonce", "v" * 43, challenge_of("v" * 43))
NOW = int(time.time())
TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[Provider]:
    provider = Provider().start()
    yield provider
    provider.stop()


@pytest.fixture
def provider(shared_provider: Provider) -> Iterator[Provider]:
    key = shared_provider.key
    yield shared_provider
    shared_provider.key, shared_provider.published = key, [key]
    shared_provider.more_metadata.clear()


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[ProviderClient]:
    made = make(provider)
    yield made
    await made.aclose()


def make(provider: Provider, name: str = "one", **settings: Any) -> ProviderClient:
    values = {
        "id": name,
        "name": name,
        "issuer": provider.issuer(name),
        "client_id": f"app-{name}",
        "client_secret": Secret(SECRET if name == "one" else ""),
    } | settings
    return ProviderClient(ProviderSettings(**values), ProviderHttp(), lambda: datetime.now(UTC))


async def log_in(client: ProviderClient, provider: Provider, **wishes: Any) -> Subject:
    url = await client.authorization_url(FLOW)
    sent = provider.log_in(url, "ann", **wishes)
    return await client.authenticate(sent["code"], wishes.get("iss"), FLOW)


async def refused(client: ProviderClient, provider: Provider, **wishes: Any) -> str:
    with pytest.raises(ProviderFailed) as caught:
        await log_in(client, provider, **wishes)
    assert caught.value.__cause__ is None
    return str(caught.value)


async def test_where_people_are_sent(client: ProviderClient, provider: Provider) -> None:
    """With state, nonce and PKCE, behind what the address had already."""
    parts = urlsplit(await client.authorization_url(FLOW))
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == provider.issuer("one") + "/authorize"
    assert parse_qs(parts.query, strict_parsing=True) == {
        "tenant": ["1"],
        "response_type": ["code"],
        "client_id": ["app-one"],
        "redirect_uri": [FLOW.redirect_uri],
        "scope": ["openid email"],
        "state": ["state"],
        "nonce": ["nonce"],
        "code_challenge": [FLOW.challenge],
        "code_challenge_method": ["S256"],
    }
    apple = make(provider, form_post=True)
    assert "&response_mode=form_post" in await apple.authorization_url(FLOW)
    await apple.aclose()


async def test_who_it_is(client: ProviderClient, provider: Provider) -> None:
    """Issuer, subject, address and session of the token; `iss` of the answer where there is one."""
    claims = {"email": "a@b.example", "email_verified": True, "sid": "s", "amr": ["mfa"]}
    found = await log_in(client, provider, claims=claims, iss=provider.issuer("one"))
    assert found == Subject("one", provider.issuer("one"), "ann", "a@b.example", False, "s")
    trusting = make(provider, trust_email=True)
    assert (await log_in(trusting, provider, claims=claims)).claimed
    await trusting.aclose()


GOOD: dict[str, dict[str, Any]] = {
    "several audiences": {"aud": ["app-one", "x"], "azp": "app-one"},
    "a list of one": {"aud": ["app-one"]},
    "half a minute over": {"exp": NOW - 30, "iat": NOW - 300},
    "half a minute ahead": {"iat": NOW + 30, "nbf": NOW + 30},
    "times with fractions": {"iat": NOW + 0.5, "exp": NOW + 300.25},
    "the longest subject": {"sub": "x" * 255},
}

BAD: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "a nonce that is a list": {"nonce": ["nonce"]},
    "another audience": {"aud": "app-two"},
    "no audience": {"aud": None},
    "an empty audience": {"aud": []},
    "part of our name": {"aud": "app-one-two"},
    "several audiences, made for nobody": {"aud": ["app-one", "app-two"]},
    "made for another": {"azp": "app-two"},
    "several audiences, made for another": {"aud": ["app-one", "app-two"], "azp": "app-two"},
    "another issuer": {"iss": "https://other.example"},
    "an issuer with a slash more": {"iss": "{issuer}/"},
    "no issuer": {"iss": None},
    "over": {"exp": NOW - 90, "iat": NOW - 300},
    "no end": {"exp": None},
    "an end of text": {"exp": str(NOW + 300)},
    "an end that is true": {"exp": True},
    "an end that is no number": {"exp": float("inf")},
    "an end past all floats": {"exp": 10**400},
    "issued before all floats": {"iat": -(10**400)},
    "issued tomorrow": {"iat": NOW + 86_400, "exp": NOW + 90_000},
    "no time of issue": {"iat": None},
    "not valid yet": {"nbf": NOW + 3600},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is a number": {"sub": 7},
    "too long a subject": {"sub": "x" * 256},
    "a subject with NUL": {"sub": "a\0b"},
}


def now(claims: dict[str, Any]) -> dict[str, Any]:
    """These claims, whose times are of when this file was read, as of now."""
    passed = int(time.time()) - NOW
    return {
        name: value + passed
        if name in ("exp", "iat", "nbf") and type(value) in (int, float)
        else value
        for name, value in claims.items()
    }


@pytest.mark.parametrize("name", GOOD)
async def test_good_claims(client: ProviderClient, provider: Provider, name: str) -> None:
    """What the rules allow is not refused."""
    await log_in(client, provider, claims={"email": "a@b.example"} | now(GOOD[name]))


@pytest.mark.parametrize("name", BAD)
async def test_bad_claims(client: ProviderClient, provider: Provider, name: str) -> None:
    """Each is refused, and for what is wrong with it; nothing of it is quoted."""
    issuer = provider.issuer("one")
    claims = {
        claim: value.format(issuer=issuer) if isinstance(value, str) else value
        for claim, value in now(BAD[name]).items()
    }
    why = await refused(client, provider, claims=claims)
    assert why.startswith("the provider's ID token is refused: it")
    assert "signature" not in why
    assert "app-two" not in why


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none")


def signed_with(secret: bytes) -> Callable[[dict[str, Any]], str]:
    def sign(claims: dict[str, Any]) -> str:
        header = {"alg": "HS256", "typ": "JWT", "kid": "first"}
        parts = [encoded(json.dumps(part).encode()) for part in (header, claims)]
        signed = b".".join(parts)
        mac = encoded(hmac.digest(secret, signed, hashlib.sha256))
        return (signed + b"." + mac).decode()

    return sign


async def test_how_it_is_signed(client: ProviderClient, provider: Provider) -> None:
    """By the provider's key of that name, with an algorithm that asks for one, and nothing else."""
    same_name, other, old = Key("first"), Key("other"), provider.key
    public = json.dumps(old.jwk).encode()
    forged: dict[str, dict[str, Any]] = {
        "not at all": {"token": unsigned},
        "with our secret": {"token": signed_with(SECRET.encode())},
        "with the public key": {"token": signed_with(public)},
        "by a key that is not there": {"key": other},
        "by another of that name": {"key": same_name},
        "by the key that it brings": {"key": other, "header": {"jwk": other.jwk}},
        "with more than is known": {"header": {"crit": ["x"], "x": 1}},
        "as an access token": {"header": {"typ": "at+jwt"}},
        "as a logout token": {"header": {"typ": "logout+jwt"}},
        "by a key whose name is a number": {"header": {"kid": 1}},
        "no token": {"token": lambda claims: "x"},
        "no text": {"token": lambda claims: 7},
        "too long": {"token": lambda claims: "x" * 70_000},
        "claims that are a list": {"token": lambda claims: old.sign({}).split(".")[0] + ".W10.x"},
    }
    for name, wishes in forged.items():
        why = await refused(client, provider, **wishes)
        assert why.startswith("the provider's ID token is refused: it"), name


async def test_an_old_key(client: ProviderClient, provider: Provider) -> None:
    """A key that was withdrawn counts no more from that moment; a new one does."""
    old, new = provider.key, Key("second")
    await log_in(client, provider)
    provider.published = [new]
    await refused(client, provider, key=old)
    await log_in(client, provider, key=new)
    provider.published = [new, Key("second")]
    assert "several keys" in await refused(client, provider, key=new)
    provider.published = [old, new]
    nameless = {"key": new, "header": {"kid": None}}
    assert "several keys" in await refused(client, provider, **nameless)
    provider.published = [new]
    await log_in(client, provider, **nameless)


async def test_many_logout_tokens_at_once(client: ProviderClient, provider: Provider) -> None:
    """Anybody may send them, and of nothing the provider is asked as often."""
    tokens = [provider.logout_token("one", sub=str(number)) for number in range(20)]
    before = len(provider.asked)
    found = await asyncio.gather(*map(client.logged_out, tokens))
    assert [logout.subject for logout in found] == [str(number) for number in range(20)]
    assert sorted(provider.asked[before:]) == ["/one/.well-known/openid-configuration", "/one/jwks"]


async def test_keys_that_never_come(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch that several may wait for is given up in time by itself, whoever waits or has left:
    else no other would be begun."""
    monkeypatch.setattr(budget, "BUDGET", 0.2)
    http, since = ProviderHttp(), Stopwatch()
    token = jose.parse(provider.logout_token("one", sub="ann"))
    verified = ProviderKeys(http).verify(
        token, f"{provider.issuer('one')}/jwks", frozenset({"ES256"})
    )
    with provider.doing("/jwks", slow), pytest.raises(ProviderUnavailable, match="in time"):
        await asyncio.wait_for(verified, 30)
    assert since.own < 2
    await http.aclose()


def _as_jwk(key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> dict[str, Any]:
    return json.loads(RSAAlgorithm.to_jwk(key)) | {"kid": "second"}


async def test_keys_for_something_else(client: ProviderClient, provider: Provider) -> None:
    """Not for signatures, of another algorithm or curve, private, symmetric, too small."""
    key = Key("second")
    small, large = (rsa.generate_private_key(65537, bits) for bits in (1024, 2048))

    def signed_by(private: rsa.RSAPrivateKey) -> Callable[[dict[str, Any]], str]:
        return lambda claims: jwt.PyJWS().encode(
            json.dumps(claims).encode(), private, "RS256", headers={"kid": "second"}
        )

    changes: tuple[dict[str, Any], ...] = (
        {"use": "enc"},
        {"alg": "ES384"},
        {"kty": "RSA"},
        {"crv": "P-384"},
        {"x": "?"},
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"d": json.loads(ECAlgorithm.to_jwk(key.private))["d"]},
    )
    for change in changes:
        provider.published = [Key("first")]
        provider.published[0].jwk = key.jwk | change
        await refused(client, provider, key=key)
    provider.published[0].jwk = key.jwk | {"key_ops": ["verify"], "use": "sig"}
    await log_in(client, provider, key=key)
    provider.published[0].jwk = _as_jwk(small.public_key())
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        await refused(client, provider, token=signed_by(small))
    provider.published[0].jwk = _as_jwk(large)
    await refused(client, provider, token=signed_by(large))
    provider.published[0].jwk = _as_jwk(large.public_key())
    await log_in(client, provider, token=signed_by(large))


async def test_what_the_provider_announces_counts(provider: Provider) -> None:
    """An algorithm that it does not sign with is refused, and so is an answer without `iss`."""
    provider.more_metadata["one"] = {
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"]
    }
    client = make(provider)
    assert "algorithm" in await refused(client, provider)
    await client.aclose()
    provider.more_metadata["one"] = {"authorization_response_iss_parameter_supported": True}
    client = make(provider)
    assert "sent the person back" in await refused(client, provider)
    assert "sent the person back" in await refused(client, provider, iss=provider.issuer("two"))
    await log_in(client, provider, iss=provider.issuer("one"))
    await client.aclose()


async def test_a_provider_with_tenants(provider: Provider) -> None:
    """Its tokens name their tenant, which must be that of the issuer, and one that can be."""
    base = f"http://127.0.0.1:{provider.port}"
    provider.more_metadata["common"] = {"issuer": f"{base}/{{tenantid}}/v2.0"}
    document = provider._metadata("common")
    provider.misbehaviour["/v2.0/.well-known/openid-configuration"] = saying(document)
    client = make(provider, "common", issuer=f"{base}/common/v2.0", tenants=True)
    try:
        issuer = f"{base}/{TENANT}/v2.0"
        found = await log_in(client, provider, claims={"iss": issuer, "tid": TENANT})
        assert found.issuer == issuer
        for claims in (
            {"iss": issuer},
            {"iss": issuer, "tid": TENANT.replace("9", "8")},
            {"iss": f"{base}/x/y/v2.0", "tid": "x/y"},
            {"iss": f"{base}/common/v2.0", "tid": "common"},
        ):
            await refused(client, provider, claims=claims)
    finally:
        del provider.misbehaviour["/v2.0/.well-known/openid-configuration"]
        await client.aclose()


ELSEWHERE = "/two/.well-known/openid-configuration"
METADATA: dict[str, tuple[Misbehaviour, type[Exception], str]] = {
    "down": (broken, ProviderUnavailable, "answers 503"),
    "slow": (slow, ProviderUnavailable, "in time"),
    "huge": (huge, ProviderFailed, "too long"),
    "crumbling": (crumbling, ProviderFailed, "too many pieces"),
    "redirecting": (redirecting(ELSEWHERE), ProviderFailed, "answers 307"),
    "no object": (saying("x"), ProviderFailed, "cannot be read"),
    "no document": (saying({"issuer": "https://other.example"}), ProviderFailed, "cannot be read"),
}


@pytest.mark.parametrize("name", METADATA)
async def test_metadata_that_is_none(provider: Provider, name: str) -> None:
    """Nobody is sent anywhere; which of the two it is, is told."""
    misbehaviour, kind, why = METADATA[name]
    client = make(provider)
    with (
        provider.doing("/openid-configuration", misbehaviour),
        pytest.raises(kind, match=why) as caught,
    ):
        await client.prepare()
    assert type(caught.value) is kind
    await client.prepare()  # and once it is right, it is right
    await client.aclose()


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "{base}/"},
        {"issuer": "{two}"},
        {"token_endpoint": "http://10.0.0.1/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": "javascript:alert(1)"},
        {"userinfo_endpoint": "https://user:password@example.com/"},
        {"authorization_endpoint": "https://example.com/#x"},
        {"authorization_endpoint": "//example.com/"},
        {"authorization_endpoint": 7},
    ],
    ids=range(9),
)
async def test_metadata_of_somebody_else(provider: Provider, change: dict[str, Any]) -> None:
    """Another issuer's, and endpoints that nothing may be sent to."""
    base = provider.issuer("one")
    provider.more_metadata["one"] = {
        name: value.format(base=base, two=provider.issuer("two"))
        if isinstance(value, str)
        else value
        for name, value in change.items()
    }
    client = make(provider)
    with pytest.raises(ProviderFailed):
        await client.prepare()
    await client.aclose()


@pytest.mark.parametrize("token", ["a\r\nX: y", "é", "x" * 65_537], ids=range(3))
async def test_an_access_token_that_no_header_has(provider: Provider, token: str) -> None:
    """Nothing is asked with it, nor with a part of it, and it is not quoted."""
    http, before = ProviderHttp(), len(provider.asked)
    with pytest.raises(ProviderFailed) as caught:
        await http.get(f"{provider.issuer('one')}/userinfo", token)
    assert str(caught.value) == "the provider's access token cannot be sent"
    assert len(provider.asked) == before
    await http.aclose()


async def test_no_cookie_is_kept(client: ProviderClient, provider: Provider) -> None:
    """What a provider sets with one answer is not sent with the next, which may be another's."""
    sent: list[str | None] = []

    def setting(request: BaseHTTPRequestHandler) -> None:
        sent.append(request.headers["Cookie"])
        send(request, 200, b'{"keys": []}', **{"Set-Cookie": "a=b; Path=/; Max-Age=9999"})

    with provider.doing("/jwks", setting):
        for _ in range(2):
            await refused(client, provider)
    assert len(sent) >= 2
    assert set(sent) == {None}


async def test_nobody_listens() -> None:
    """Neither a port without a server nor a name that is none is a defect of ours."""
    for issuer in ("http://127.0.0.1:1/x", "https://nowhere.invalid"):
        client = ProviderClient(
            ProviderSettings(id="x", name="x", issuer=issuer, client_id="x"),
            ProviderHttp(),
            lambda: datetime.now(UTC),
        )
        with pytest.raises(ProviderUnavailable):
            await client.prepare()
        await client.aclose()


def test_nothing_shows_a_secret() -> None:
    """Neither what a login is bound to nor who it is stands in a representation."""
    assert "v" * 43 not in repr(FLOW)
    assert "a@b" not in repr(Subject("one", "i", "s", "a@b.example"))
    assert SECRET not in repr(
        ProviderSettings(id="x", name="x", issuer="i", client_id="x", client_secret=Secret(SECRET))
    )
