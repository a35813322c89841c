"""Which access tokens a guard accepts, by what is in them. The rest: tests/sessions."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SESSION, SIGNING_KEYS, access_tokens, sign

from service.guard import Identity, Verifier
from service.guard.fake_issuer import FakeIssuer
from service.keyring import signing
from tests.guard.guards import Guards, refuses, verdict

KEY = SIGNING_KEYS.active


@pytest.fixture
async def guard(issuer: Issuer) -> Any:
    async with Guards(issuer, "") as guards:
        yield await guards.start(mode="offline")


@pytest.fixture
def claims() -> dict[str, Any]:
    """The claims of a good token."""
    token, _ = access_tokens().mint(SESSION)
    return jwt.decode(token, options={"verify_signature": False})


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


async def test_a_good_token(guard: Verifier, claims: dict[str, Any]) -> None:
    """Whose it is, which session's, since when and how they are signed in; again from memory."""
    token, _ = access_tokens().mint(SESSION)
    identity = Identity(
        user_id=SESSION.user_id.hex(),
        session_id=SESSION.id.hex(),
        auth_time=int(SESSION.authenticated_at.timestamp()),
        methods=("pwd",),
        expires_at=claims["exp"],
    )
    told = [await guard.verify(token) for _ in range(3)]
    assert [one.user_id for one in told] == [identity.user_id] * 3
    assert told[0].session_id == identity.session_id
    assert (told[0].auth_time, told[0].methods) == (identity.auth_time, ("pwd",))
    assert 0 <= told[0].expires_at - claims["exp"] <= 2
    assert (guard.counters.verified, guard.counters.cached) == (3, 2)


async def test_no_algorithm_of_the_senders_choice(guard: Verifier, claims: dict[str, Any]) -> None:
    """Not `none`, and not HMAC with the public key, in any of its spellings, for the secret."""
    assert await verdict(guard, sign(claims)) == "accepted"
    header = {"typ": "at+jwt", "kid": KEY.kid}
    for name in ("none", "None", "NONE", ""):
        first = encoded(json.dumps(header | {"alg": name}).encode())
        body = f"{first}.{encoded(json.dumps(claims).encode())}"
        for end in ("", ".", "." + "A" * 86):
            assert await refuses(guard, body + end)
    public = KEY.private_key.public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        SIGNING_KEYS.jwks(),
    ]
    for alg in ("HS256", "HS384", "HS512"):
        hmac = jwt.get_algorithm_by_name(alg)
        first = encoded(json.dumps(header | {"alg": alg}).encode())
        body = f"{first}.{encoded(json.dumps(claims).encode())}"
        for secret in secrets:
            assert await refuses(guard, f"{body}.{encoded(hmac.sign(body.encode(), secret))}")
            # A header that was accepted before does not lend its key to another signature.
            good = sign(claims).rpartition(".")[0]
            assert await refuses(guard, f"{good}.{encoded(hmac.sign(good.encode(), secret))}")


@pytest.mark.parametrize("alg", ["ES384", "ES512", "ES256K", "EdDSA", "RS256", "PS256", "es256"])
async def test_only_es256(guard: Verifier, claims: dict[str, Any], alg: str) -> None:
    """Also where the signature would be right."""
    first = encoded(json.dumps({"alg": alg, "kid": KEY.kid, "typ": "at+jwt"}).encode())
    body = f"{first}.{encoded(json.dumps(claims).encode())}"
    signature = jwt.get_algorithm_by_name("ES256").sign(body.encode(), KEY.private_key)
    assert await refuses(guard, f"{body}.{encoded(signature)}")


async def test_a_foreign_key(guard: Verifier, claims: dict[str, Any]) -> None:
    """Under the name of the issuer's, and brought along in the header."""
    foreign = signing.mint()
    own = signing.SigningKeys([foreign])
    jwk = json.loads(own.jwks())["keys"][0]
    for header in (
        {"kid": KEY.kid},
        {"kid": own.active.kid},
        {"kid": KEY.kid, "jwk": jwk},
        {"kid": KEY.kid, "jku": "https://attacker.example/jwks.json"},
        {"kid": KEY.kid, "x5c": ["MIIB"]},
    ):
        token = jwt.encode(claims, foreign, "ES256", headers={"typ": "at+jwt"} | header)
        assert await refuses(guard, token)


@pytest.mark.parametrize("header", [
    {"typ": "JWT"}, {"typ": "AT+JWT"}, {"typ": None}, {"kid": "other"}, {"kid": ""}, {"kid": 7},
    {"jku": "https://attacker.example/jwks.json"}, {"jwk": {"kty": "EC"}}, {"x5u": "x"},
    {"crit": ["exp"]}, {"cty": "JWT"}, {"b64": False}, {"zip": "DEF"}, {"kid": "x" * 5000},
])  # fmt: skip
async def test_any_other_header_is_refused(
    guard: Verifier, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    """Rightly signed, but the header says something else or something more."""
    members = {"alg": "ES256", "typ": "at+jwt", "kid": KEY.kid} | header
    first = encoded(json.dumps(members).encode())
    body = f"{first}.{encoded(json.dumps(claims).encode())}"
    signature = jwt.get_algorithm_by_name("ES256").sign(body.encode(), KEY.private_key)
    assert await refuses(guard, f"{body}.{encoded(signature)}")


@pytest.mark.parametrize("wrong", [
    {"iss": "https://other.example"}, {"iss": "https://issuer.example/"}, {"aud": "other"},
    {"aud": ["audience"]}, {"exp": 0}, {"exp": "soon"}, {"exp": 2**40}, {"iat": 0},
    {"sub": "x"}, {"sub": 7}, {"sub": ""}, {"sub": "AB" * 16}, {"sub": "00" * 15},
    {"sat": -1}, {"sat": None}, {"sat": "5"}, {"sat": 5.0}, {"sat": True}, {"sat": [5]},
    {"sub": "00 " * 16}, {"sid": "zz"}, {"sid": None}, {"sid": "00" * 13}, {"sid": "é" * 24},
])  # fmt: skip
async def test_wrong_claims_are_refused(
    guard: Verifier, claims: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """Another issuer or audience, expired, a life longer than any, ids and times that are none."""
    assert await refuses(guard, sign(claims | wrong))


async def test_a_missing_claim_is_refused(guard: Verifier, claims: dict[str, Any]) -> None:
    """Each one that RFC 9068 requires, and the session's id; a service of before has no `sat`."""
    for name in claims.keys() - {"sat"}:
        rest = {other: value for other, value in claims.items() if other != name}
        assert await refuses(guard, sign(rest)), name


@pytest.mark.parametrize("opened_at", [{}, {"sat": 0}, {"sat": 1_800_000_000_000}, {"sat": 2**70}])
async def test_when_the_session_was_opened(
    guard: Verifier, claims: dict[str, Any], opened_at: dict[str, int]
) -> None:
    """Any time, or none."""
    claims.pop("sat", None)
    assert await verdict(guard, sign(claims | opened_at)) == "accepted"


@pytest.mark.parametrize("junk", [
    "", ".", "..", "a.b.c", "é", "\0" * 10, "\ud800", "\udcff.\udcff.\udcff", "." * 1000, "=" * 400,
    "A" * 100_000, "osr_" + "A" * 120,
])  # fmt: skip
async def test_junk_is_refused(guard: Verifier, junk: str) -> None:
    """What is no token at all, whatever characters it has."""
    assert await refuses(guard, junk)
    assert await refuses(guard, junk + ".AAAA." + "A" * 86)


async def test_a_changed_token_is_refused(guard: Verifier, claims: dict[str, Any]) -> None:
    """Every shorter one, and one with another's claims."""
    good = sign(claims)
    for end in range(0, len(good), 7):
        assert await refuses(guard, good[:end])
    header, _, signature = good.split(".")
    other = encoded(json.dumps(claims | {"sub": "00" * 16}).encode())
    assert await refuses(guard, f"{header}.{other}.{signature}")
    assert await verdict(guard, good) == "accepted"


async def test_a_known_signature_lets_nothing_else_in(guard: Verifier, claims: Any) -> None:
    """A token is found by its signature: what else comes with it is compared, to the last byte."""
    good = sign(claims)
    assert await verdict(guard, good) == "accepted"
    signed, _, signature = good.rpartition(".")
    header, _, payload = signed.partition(".")
    others = [f"{header}.{encoded(json.dumps(claims | {'sub': '00' * 16}).encode())}"]
    others += [signed[:at] + ("A" if signed[at] != "A" else "B") + signed[at + 1 :]
               for at in range(0, len(signed), 13)]  # fmt: skip
    others += ["", header, f".{payload}", f"{signed}.", f".{signed}", f"{signed}A", signed[1:]]
    for other in others:
        assert guard.known(f"{other}.{signature}") is None
        assert await refuses(guard, f"{other}.{signature}")
    assert guard.known(signature) is None
    assert await refuses(guard, signature)
    assert await verdict(guard, good) == "accepted"
    assert guard.counters.cached == 1


async def test_no_record_shows_its_token(guard: Verifier, claims: Any) -> None:
    """The token is kept to be compared; neither a log nor a debugger's list of locals has it."""
    good = sign(claims)
    await guard.verify(good)
    [record] = guard._cache.young.values()
    assert record.token == good
    assert good.rpartition(".")[2] not in repr(record)
    assert good.rpartition(".")[2] not in repr(guard)


async def test_what_need_not_be_found_out() -> None:
    """`known` says of a token what `verify` would say, or nothing."""
    fake = FakeIssuer()
    async with fake.verifier() as guard:
        login, ended = fake.log_in("01" * 16), fake.log_in("02" * 16)
        beside = fake.log_in("02" * 16)
        for token in (login.token, ended.token, beside.token):
            assert guard.known(token) is None
            assert await guard.verify(token) == guard.known(token)
        fake.log_out(ended)
        assert guard.known(ended.token) is None
        assert guard.known(login.token) == login.identity
        assert guard.known(beside.token) is None  # of the bucket in which something has ended
        assert await guard.verify(beside.token) == guard.known(beside.token) == beside.identity
        assert await refuses(guard, ended.token)
        assert guard.known(ended.token) is None
        fake.lose_feed()
        assert guard.known(login.token) is None
        fake.restore_feed()
        assert guard.known(login.token) == login.identity
        for wrong in (None, b"x", "", 7, login.token + "A", login.token.encode()):
            assert guard.known(wrong) is None  # type: ignore[arg-type]
    assert guard.known(login.token) is None


async def test_memory_never_outlives_the_token(issuer: Issuer, claims: dict[str, Any]) -> None:
    """A verified token is refused from its last second on, to the millisecond, with no leeway."""
    times = [float(claims["iat"])]
    async with Guards(issuer, "") as guards:
        guard = await guards.start(mode="offline", clock=lambda: times[-1])
        token = sign(claims)
        for moment, told in (
            (claims["exp"] - 60, "accepted"),
            (claims["exp"] - 0.001, "accepted"),
            (claims["exp"], "refused"),
            (claims["exp"] + 1, "refused"),
        ):
            times.append(moment)
            assert await verdict(guard, token) == told
        assert guard.counters.cached == 2


async def test_memory_is_bounded(issuer: Issuer, claims: dict[str, Any]) -> None:
    """No more tokens are kept than were allowed for; the ones in use stay."""
    async with Guards(issuer, "") as guards:
        guard = await guards.start(mode="offline", cache_size=20)
        used = sign(claims)
        for number in range(100):
            assert await verdict(guard, sign(claims | {"jti": str(number)})) == "accepted"
            assert await verdict(guard, used) == "accepted"
        assert guard.counters.cached == 99
        assert len(guard._cache.young) + len(guard._cache._old) <= 20
        forgetful = await guards.start(mode="offline", cache_size=0)
        for _ in range(3):
            assert await verdict(forgetful, used) == "accepted"
        assert forgetful.counters.cached == 0


@pytest.mark.parametrize("more", ["!", "=", "==", "A", "AA", "AAAA", "!!!!", " ", "\n", ".", "%3D"])
async def test_a_signature_of_another_length_is_refused(guard: Verifier, more: str) -> None:
    """Base64 decoders pass over what is none of theirs: one token must not have two spellings."""
    token, _ = access_tokens().mint(SESSION)
    assert await verdict(guard, token) == "accepted"
    for other in (token + more, more + token, token[:-1], token[:-4]):
        assert await refuses(guard, other)
