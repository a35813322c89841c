"""Codes and the URI of the QR code, as RFC 6238 and authenticator apps have them."""

import base64
from datetime import UTC, datetime
from urllib.parse import unquote

import pyotp
import pytest

from service.twofactor import totp

RFC_SECRET = b"12345678901234567890"
RFC_VECTORS = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}
"""RFC 6238, appendix B, SHA-1. Six digits are the last six of the eight."""

NOW = datetime(2026, 1, 2, 3, 4, 15, tzinfo=UTC)
PRESENT = int(NOW.timestamp()) // 30

ODD = [
    "", " ", "12345", "1234567", "abcdef", " {}", "{} ", "{}\n", "\n{}", "{}\0", "+{}", "-{}",
    "0x{}", "{}.0", "１２３４５６", "١٢٣٤٥٦", "¹²³⁴⁵⁶", "{}" * 10_000, "\ud800{}",
]  # fmt: skip
"""Forms that are no code, also where `{}` is the right one."""


def code_of(step: int) -> str:
    return pyotp.TOTP(base64.b32encode(RFC_SECRET).decode()).generate_otp(step)


@pytest.mark.parametrize(("seconds", "eight"), RFC_VECTORS.items())
def test_rfc_6238_vectors(seconds: int, eight: str) -> None:
    """Each is the code of its own step."""
    moment = datetime.fromtimestamp(seconds, UTC)
    assert totp.matching_step(RFC_SECRET, eight[-6:], moment) == seconds // 30
    assert totp.matching_step(RFC_SECRET, eight, moment) is None


def test_one_step_either_side() -> None:
    """A clock that is 30 s off is let in, one that is a minute off is not."""
    for away in (-1, 0, 1):
        found = totp.matching_step(RFC_SECRET, code_of(PRESENT + away), NOW)
        assert found == PRESENT + away
    for away in (-3, -2, 2, 3):
        assert totp.matching_step(RFC_SECRET, code_of(PRESENT + away), NOW) is None


def test_a_step_ahead_can_be_refused() -> None:
    """Then a code is good in its own step and the next."""
    for away, found in ((-2, None), (-1, PRESENT - 1), (0, PRESENT), (1, None)):
        code = code_of(PRESENT + away)
        assert totp.matching_step(RFC_SECRET, code, NOW, ahead=False) == found


@pytest.mark.parametrize("seconds", [0, 29.999])
def test_the_edges_of_a_step(seconds: float) -> None:
    """First and last moment of a step are of that step."""
    moment = datetime.fromtimestamp(PRESENT * 30 + seconds, UTC)
    assert totp.matching_step(RFC_SECRET, code_of(PRESENT + 1), moment) == PRESENT + 1
    assert totp.matching_step(RFC_SECRET, code_of(PRESENT - 2), moment) is None


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd)[:20])
def test_odd_forms_are_no_codes(odd: str) -> None:
    """Nothing is stripped, folded or cut to make six digits of it."""
    assert totp.matching_step(RFC_SECRET, odd.replace("{}", code_of(PRESENT)), NOW) is None
    right = code_of(PRESENT)
    assert totp.matching_step(RFC_SECRET, f"{right[:3]} {right[3:]}", NOW) is None
    full_width = "".join(chr(ord(digit) + 0xFEE0) for digit in right)
    assert totp.matching_step(RFC_SECRET, full_width, NOW) is None


EMAILS = [
    "ann@example.com", "ann+tag@example.com", "a&b=c@example.com", '"a b"@example.com',
    "jörg@exämple.com", "100%@example.com", '"a:b"@example.com', "a/b?c#d@example.com",
    "用户@例え.jp", '"%2B + %20"@example.com',
]  # fmt: skip


@pytest.mark.parametrize("app_name", ["OpenShow", "Open Show", "Söhne & Co + 100%"])
@pytest.mark.parametrize("email", EMAILS)
def test_the_uri_is_read_back(email: str, app_name: str) -> None:
    """An authenticator app gets the very same secret, address and issuer; no `+` is a space."""
    secret = totp.new_secret()
    uri = totp.provisioning_uri(secret, app_name, email)
    read = pyotp.parse_uri(uri)
    assert (read.name, read.issuer) == (email, app_name)
    assert base64.b32decode(read.secret) == secret
    assert uri.isascii()
    assert not set(uri) & set('+ "<>')
    label = uri.removeprefix("otpauth://totp/").partition("?")[0]
    assert unquote(label) == f"{app_name}:{email}"
    assert label.count(":") == 1


def test_the_uri_literally() -> None:
    """As the contract spells it: this order, 32 letters without padding, RFC 3986 escapes."""
    assert totp.provisioning_uri(RFC_SECRET, "Open Show", "ann+2@example.com") == (
        "otpauth://totp/Open%20Show:ann%2B2%40example.com"
        "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Open%20Show"
        "&algorithm=SHA1&digits=6&period=30"
    )


def test_secrets_are_fresh() -> None:
    """160 random bits each."""
    secrets = {totp.new_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert {len(secret) for secret in secrets} == {20}
