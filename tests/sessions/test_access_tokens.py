"""Access tokens: what is in them, and which ones are refused."""

import base64
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm
from tools.testbed.parts import SESSION, SIGNING_KEYS, access_tokens, sign
from tools.testbed.waiting import wait_until

import service.sessions.access_tokens as access_tokens_module
from service.clock import milliseconds
from service.errors import InvalidAccessToken
from service.keyring import signing
from service.keyring.signing import SigningKey, SigningKeys
from service.sessions.access_tokens import AccessTokens


@pytest.fixture
def tokens() -> AccessTokens:
    return access_tokens()


@pytest.fixture
def claims(tokens: AccessTokens) -> dict[str, Any]:
    """The claims of a good token."""
    return jwt.decode(tokens.mint(SESSION)[0], options={"verify_signature": False})


def refused(tokens: AccessTokens, token: str) -> bool:
    try:
        tokens.verify(token)
    except InvalidAccessToken:
        return True
    return False


def test_header_and_claims(tokens: AccessTokens) -> None:
    """RFC 9068: type, key id, algorithm, and each claim that the contract lists, no other."""
    token = tokens.mint(SESSION)[0]
    key = SIGNING_KEYS.active
    assert jwt.get_unverified_header(token) == {"typ": "at+jwt", "alg": "ES256", "kid": key.kid}
    public = SIGNING_KEYS.public(key.kid)
    assert public
    claims = jwt.decode(
        token, public, ["ES256"], audience="audience", issuer="https://issuer.example"
    )
    assert claims.pop("exp") - claims.pop("iat") == 900 == tokens.life
    assert len(claims.pop("jti")) == 20
    assert claims == {
        "iss": "https://issuer.example",
        "aud": "audience",
        "sub": SESSION.user_id.hex(),
        "sid": SESSION.id.hex(),
        "auth_time": int(SESSION.authenticated_at.timestamp()),
        "sat": milliseconds(SESSION.opened_at),
        "amr": ["pwd"],
        "client_id": "audience",
    }


def test_each_token_has_another_id(tokens: AccessTokens) -> None:
    """`jti` tells tokens of one second apart."""
    assert len({tokens.mint(SESSION)[0] for _ in range(50)}) == 50


def test_a_minted_token_names_its_caller(tokens: AccessTokens) -> None:
    """User and session come back as the ids they are, where it was minted as elsewhere."""
    token = tokens.mint(SESSION)[0]
    for reader in (tokens, access_tokens()):
        caller = reader.verify(token)
        assert (caller.user_id, caller.session_id) == (SESSION.user_id, SESSION.id)


def test_an_older_key_still_verifies(tokens: AccessTokens) -> None:
    """Tokens signed before the newest key came are good until they expire."""
    everything = list(SIGNING_KEYS.public_keys())
    assert len(everything) == 2
    older = SigningKeys([signing.mint()])
    assert refused(tokens, access_tokens(older).mint(SESSION)[0]), "a key that is not ours"
    both = SigningKeys([older.active.private_key, SIGNING_KEYS.active.private_key])
    assert access_tokens(both).verify(access_tokens(older).mint(SESSION)[0])


@pytest.mark.parametrize("name", [
    "iss", "aud", "sub", "exp", "iat", "jti", "sid", "auth_time", "amr", "client_id"
])  # fmt: skip
def test_every_claim_is_required(tokens: AccessTokens, claims: dict[str, Any], name: str) -> None:
    """A token of ours without one of them, rightly signed, is refused."""
    assert not refused(tokens, sign(claims))
    del claims[name]
    assert refused(tokens, sign(claims))


@pytest.mark.parametrize("wrong", [
    {"iss": "https://other.example"}, {"iss": "https://issuer.example/"}, {"aud": "other"},
    {"aud": ["audience", "other"]}, {"aud": ["audience"]}, {"aud": "audience "},
    {"exp": 0}, {"exp": "soon"}, {"sub": "x"}, {"sub": 7}, {"sid": "zz"}, {"sid": None},
])  # fmt: skip
def test_wrong_claims_are_refused(
    tokens: AccessTokens, claims: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """Another issuer, another audience, expired, or ids that are none."""
    assert refused(tokens, sign(claims | wrong))


def test_a_token_expires() -> None:
    """After its life of one second, with no leeway."""
    tokens = access_tokens(life=timedelta(seconds=1))
    token = tokens.mint(SESSION)[0]
    wait_until(lambda: refused(tokens, token))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] <= datetime.now(UTC).timestamp() < claims["exp"] + 1


def test_another_pods_clock_may_be_ahead(tokens: AccessTokens) -> None:
    """A token from half a minute in the future is accepted."""
    assert tokens.verify(access_tokens(ahead=timedelta(seconds=30)).mint(SESSION)[0])


@pytest.mark.parametrize("header", [
    {"typ": "JWT"}, {"typ": "AT+JWT"}, {"kid": "other"}, {"kid": ""},
    {"jku": "https://attacker.example/jwks.json"}, {"jwk": {"kty": "EC"}}, {"x5u": "x"},
    {"crit": ["exp"]}, {"cty": "JWT"},
])  # fmt: skip
def test_any_other_header_is_refused(
    tokens: AccessTokens, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    """Rightly signed, but the header says something else or something more."""
    assert refused(tokens, sign(claims, **header))


def test_how_the_header_is_spelt_does_not_matter(
    tokens: AccessTokens, claims: dict[str, Any]
) -> None:
    """Other white space, another order of the same three members: they are signed all the same."""
    key = SIGNING_KEYS.active
    for header in (
        {"kid": key.kid, "typ": "at+jwt", "alg": "ES256"},
        {"alg": "ES256", "kid": key.kid, "typ": "at+jwt"},
    ):
        for separators in ((",", ":"), (", ", ": ")):
            spelt = json.dumps(header, separators=separators).encode()
            body = f"{encoded(spelt)}.{encoded(json.dumps(claims).encode())}"
            signature = jwt.get_algorithm_by_name("ES256").sign(body.encode(), key.private_key)
            assert not refused(tokens, f"{body}.{encoded(signature)}")
            assert refused(
                tokens, f"{encoded(spelt + b' ')}.{body.split('.')[1]}.{encoded(signature)}"
            )


def test_no_algorithm_of_the_senders_choice(tokens: AccessTokens, claims: dict[str, Any]) -> None:
    """Not `none`, and not HMAC with our public key for its secret."""
    key = SIGNING_KEYS.active
    header = {"typ": "at+jwt", "kid": key.kid}
    assert refused(tokens, jwt.encode(claims, None, "none", headers=header))
    good = tokens.mint(SESSION)[0]
    assert refused(tokens, good.rpartition(".")[0] + ".")
    public = key.private_key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    hmac = jwt.get_algorithm_by_name("HS256")
    for first in (good.split(".")[0], encoded(json.dumps(header | {"alg": "HS256"}).encode())):
        body = f"{first}.{good.split('.')[1]}"
        assert refused(tokens, f"{body}.{encoded(hmac.sign(body.encode(), pem))}")


def test_another_key_under_our_kid_is_refused(tokens: AccessTokens, claims: dict[str, Any]) -> None:
    """The key is what counts, not its name."""
    header = {"typ": "at+jwt", "kid": SIGNING_KEYS.active.kid}
    assert refused(tokens, jwt.encode(claims, signing.mint(), "ES256", headers=header))


def test_a_changed_token_is_refused(tokens: AccessTokens, claims: dict[str, Any]) -> None:
    """Every shorter one, one with another's claims, and texts that are no token."""
    good = tokens.mint(SESSION)[0]
    assert all(refused(tokens, good[:end]) for end in range(len(good)))
    header, _, signature = good.split(".")
    other = encoded(json.dumps(claims | {"sub": "00" * 16}).encode())
    assert refused(tokens, f"{header}.{other}.{signature}")
    for junk in ("", ".", "..", "a.b.c", "é", good + ".x", good + good, "\0" * 10):
        assert refused(tokens, junk)


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each look that is taken at a signature: `signed` by making it anew, or `verified`."""
    looks: list[str] = []
    verify, sign_anew = ECAlgorithm.verify, SigningKey.sign

    def verified(*arguments: Any) -> bool:
        looks.append("verified")
        return verify(*arguments)

    def signed(*arguments: Any) -> bytes:
        looks.append("signed")
        return sign_anew(*arguments)

    monkeypatch.setattr(ECAlgorithm, "verify", verified)
    monkeypatch.setattr(SigningKey, "sign", signed)
    return looks


def test_a_signature_is_looked_at_once(tokens: AccessTokens, looked_at: list[str]) -> None:
    """A token that was good is known by its digest; one that was not is looked at each time."""
    tokens.verify(tokens.mint(SESSION)[0])
    assert looked_at == ["signed"]  # when it was minted
    token = access_tokens().mint(SESSION)[0]
    looked_at.clear()
    assert {tokens.verify(token) for _ in range(5)} == {tokens.verify(token)}
    assert looked_at == ["signed"]
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    looked_at.clear()
    assert all(refused(tokens, forged) for _ in range(3))
    assert looked_at == ["signed", "verified"] * 3


def test_a_signature_with_another_nonce_counts(
    tokens: AccessTokens, claims: dict[str, Any], looked_at: list[str]
) -> None:
    """ECDSA has many right signatures. That we would make another does not make one wrong."""
    looked_at.clear()
    assert tokens.verify(sign(claims))
    assert looked_at == ["signed", "verified"]


def test_the_key_at_hand_vouches_for_its_own_tokens_only(looked_at: list[str]) -> None:
    """What an older key has signed is verified, and so is all while the keys are not open."""
    older, newer = signing.mint(), signing.mint()
    token = access_tokens(SigningKeys([older])).mint(SESSION)[0]
    both = access_tokens(SigningKeys([older, newer]))
    closed = access_tokens(SigningKeys.public_only([older.public_key()]))
    looked_at.clear()
    assert both.verify(token) == closed.verify(token)
    assert looked_at == ["verified", "verified"]
    both.use(SigningKeys.public_only([newer.public_key()]))
    assert refused(both, token)


def test_a_known_token_expires() -> None:
    """To the second, although its signature is not looked at again."""
    now = [datetime.now(UTC)]
    tokens = AccessTokens(
        SIGNING_KEYS, issuer="i", audience="a", life=timedelta(minutes=15), clock=lambda: now[0]
    )
    token = tokens.mint(SESSION)[0]
    expiry = jwt.decode(token, options={"verify_signature": False})["exp"]
    tokens.verify(token)
    now[0] = datetime.fromtimestamp(expiry - 1, UTC)
    tokens.verify(token)
    now[0] = datetime.fromtimestamp(expiry, UTC)
    assert refused(tokens, token)


@pytest.mark.parametrize("minted_here", [True, False])
def test_a_known_token_ends_with_its_key(tokens: AccessTokens, minted_here: bool) -> None:
    """What a key has signed that was revoked does not count, however often it did before."""
    token = (tokens if minted_here else access_tokens()).mint(SESSION)[0]
    tokens.verify(token)
    tokens.use(SigningKeys([signing.mint()]))
    assert refused(tokens, token)


def test_what_is_known_is_bounded(tokens: AccessTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of people, and no more memory than for so many; all are let in."""
    monkeypatch.setattr(access_tokens_module, "_TOKENS_KEPT", 10)
    few = access_tokens()
    for minting in [few, access_tokens()] * 15:
        few.verify(minting.mint(SESSION)[0])
    assert len(few._known.young) + len(few._known._old) <= 10


def test_what_was_not_used_lately_is_recalled(
    tokens: AccessTokens, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the old generation, without another look at its signature."""
    monkeypatch.setattr(access_tokens_module, "_TOKENS_KEPT", 4)
    few = access_tokens()
    token = few.mint(SESSION)[0]
    for _ in range(3):
        few.mint(SESSION)
        few.mint(SESSION)
        assert sha256(token.encode()).digest() in few._known._old
        looked_at.clear()
        assert few.verify(token)
        assert looked_at == []
