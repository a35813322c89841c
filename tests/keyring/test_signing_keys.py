"""Signing keys: their names, their published form, and what they verify."""

import json
import traceback

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from service.keyring.signing import SigningKey, SigningKeys, from_der, mint, thumbprint, to_der

# The public key and thumbprint of RFC 9449, 4.1 and 6.1.
RFC_X = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"
RFC_Y = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_thumbprint_known_answer() -> None:
    """The `kid` is the RFC 7638 thumbprint that others compute too."""
    jwk = {"kty": "EC", "crv": "P-256", "x": RFC_X, "y": RFC_Y}
    assert thumbprint(jwt.PyJWK(jwk, "ES256").key) == RFC_THUMBPRINT


def test_signature_known_answer() -> None:
    """RFC 6979, appendix A.2.5, SHA-256: the nonce follows from key and message."""
    secret = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    key = SigningKey("kid", ec.derive_private_key(secret, ec.SECP256R1()))
    assert key.sign(b"sample").hex() == (
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )


def test_newest_signs_and_all_verify() -> None:
    """During a rotation tokens of both keys verify, also by the published set alone."""
    old, new = mint(), mint()
    before, after = SigningKeys([old]), SigningKeys([old, new])
    published = jwt.PyJWKSet.from_dict(json.loads(after.jwks()))
    assert after.active.kid == thumbprint(new.public_key())
    assert [key.key_id for key in published.keys] == [after.active.kid, before.active.kid]
    for keys in (before, after):
        signer = keys.active
        token = jwt.encode({"sub": "x"}, signer.private_key, "ES256", {"kid": signer.kid})
        public = after.public(signer.kid)
        assert public is not None
        assert jwt.decode(token, public, ["ES256"]) == {"sub": "x"}
        assert jwt.decode(token, published[signer.kid], ["ES256"]) == {"sub": "x"}


def test_unknown_kid() -> None:
    """A `kid` that is not ours has no key."""
    keys = SigningKeys([mint()])
    assert keys.public(thumbprint(mint().public_key())) is None
    assert keys.public("") is None


def test_jwks_is_public_and_complete() -> None:
    """The set shows just the public members, coordinates at full length."""
    key = next(key for key in iter(mint, None) if key.public_key().public_numbers().x < 2**248)
    jwk = json.loads(SigningKeys([key]).jwks())["keys"][0]
    assert jwk.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("EC", "P-256", "sig", "ES256")
    assert len(jwk["x"]) == len(jwk["y"]) == 43


def test_der_round_trip() -> None:
    """A key comes back from PKCS #8 as itself."""
    key = mint()
    assert from_der(to_der(key)).private_numbers() == key.private_numbers()


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_other_kinds_of_key(key: ec.EllipticCurvePrivateKey) -> None:
    """A key that ES256 cannot use is refused when it is loaded, not when it signs."""
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="not a P-256 private key") as caught:
        from_der(der)
    assert der.hex() not in "".join(traceback.format_exception(caught.value))


def test_repr_shows_no_private_key() -> None:
    """Neither the set nor one key prints its secret number."""
    keys = SigningKeys([mint()])
    secret = keys.active.private_key.private_numbers().private_value
    for shown in (repr(keys), repr(keys.active), str(keys.active)):
        assert keys.active.kid in shown
        assert str(secret) not in shown
        assert f"{secret:x}" not in shown
