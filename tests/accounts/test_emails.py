"""E-mail addresses: accepted ones, refused ones, equal ones."""

import unicodedata

import email_validator
import pytest
from hypothesis import example, given, settings, strategies as st

from service.accounts import emails
from service.accounts.emails import LONGEST, lookup_key, normalize
from service.errors import InvalidField

LONG_DOMAIN = ".".join(["d" * 61] * 3)  # 185 characters

VALID = [
    "ada@example.com",
    "Ada.Lovelace+tag@Example.COM",
    "root@localhost",
    "root@printer",
    "ada@intranet.local",
    "ada@service.test",
    '"ada lovelace"@example.com',
    '"a@b"@example.com',
    "用户@例子.广告",
    "josé@example.com",
    "jose\u0301@example.com",
    "ﬃ@example.com",
    "a" * 64 + "@" + LONG_DOMAIN + ".de",
    "a" * 65 + "@example.com",  # RFC 5321 has 64, yet some hosts allow more
]

INVALID = [
    "",
    " ",
    "@",
    "ada",
    "ada@",
    "@example.com",
    "ada@@example.com",
    "ada@b@example.com",
    "ada lovelace@example.com",
    "ada..b@example.com",
    "ada@example..com",
    "ada@exa_mple.com",
    "ada@[127.0.0.1]",
    "Ada <ada@example.com>",
    "a\x00da@example.com",
    '"a\x00da"@example.com',
    "ada@example.com\x00",
    "a\nda@example.com",
    '"a\tb"@example.com',
    "a\x7fda@example.com",
    "a\x85da@example.com",
    "a\ud800da@example.com",
    "ada@\udfff.com",
    "a\u200bda@example.com",
    "a\u202eda@example.com",
    "ada＠example.com",
    "ada@℀.com",
    "a" * 64 + "@" + LONG_DOMAIN + ".info",
    "ä" * 64 + "@" + LONG_DOMAIN + ".de",
    "a" * 100_000 + "@example.com",
    "\u0301\u0316" * 15_000 + "@example.com",
]

SAME = [
    ("Straße@example.com", "STRASSE@EXAMPLE.COM"),
    ("ada@example.com", "  \t\u3000ADA@example.com\n "),
    ("ａｄａ@example.com", "ada@example.com"),
    ("ada@ｅｘａｍｐｌｅ.com", "ada@example.com"),
    ("jose\u0301@example.com", "JOSÉ@example.com"),
    ("İ@example.com", "i\u0307@example.com"),
    ("ﬃ@example.com", "FFI@example.com"),
    ("ΣΟΦΟΣ@example.com", "σοφος@example.com"),
    ("𝐀da@example.com", "ada@example.com"),  # normalized before it has a case at all
    ("K@example.com", "k@example.com"),  # the Kelvin sign
    ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ("ada@BÜCHER.Example", "ADA@XN--BCHER-KVA.EXAMPLE"),
    ("ada@bu\u0308cher.example", "ada@bücher.example"),
    ("ada@straße.de", "ada@xn--strae-oqa.de"),
    ("ada@STRAẞE.de", "ada@straße.de"),
    ("ada@例子。广告", "ada@xn--fsqu00a.xn--4rr70v"),
]

DIFFERENT = [
    ("ada@example.com", "a.da@example.com"),
    ("ada@example.com", "ada+x@example.com"),
    ("jose@example.com", "josé@example.com"),
    ("İ@example.com", "i@example.com"),
    ("ı@example.com", "i@example.com"),
    ("ada@straße.de", "ada@strasse.de"),
    ("ada@βόλος.com", "ada@βόλοσ.com"),
]


@pytest.mark.parametrize("address", VALID)
def test_valid_addresses_are_shown_as_given(address: str) -> None:
    """Proves that nothing but the blanks around it is taken from an address."""
    accepted = normalize(f" {address}\t\n")
    assert accepted.as_given == address
    assert lookup_key(address) == accepted.key


@pytest.mark.parametrize("address", INVALID, ids=lambda address: ascii(address)[:40])
def test_invalid_addresses_are_refused_without_an_echo(address: str) -> None:
    """Proves that one message refuses them all, so that none of it comes from the address."""
    with pytest.raises(InvalidField) as refused:
        normalize(address)
    assert (refused.value.field, refused.value.message) == (
        "email",
        "The e-mail address is not valid.",
    )
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_long_address_never_reaches_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that checks which are quadratic see 254 characters at most."""
    seen: list[int] = []
    validate = email_validator.validate_email

    def watched(address: str, **options: bool) -> object:
        seen.append(len(address))
        return validate(address, **options)

    monkeypatch.setattr(email_validator, "validate_email", watched)
    local = "a" * (LONGEST - len("@" + LONG_DOMAIN))
    assert normalize(f" {local}@{LONG_DOMAIN} ").key
    for length in (LONGEST + 1, 60_000):
        with pytest.raises(InvalidField):
            normalize("a" * (length - 12) + "@example.com")
    assert seen == [LONGEST]


@pytest.mark.parametrize("address", INVALID, ids=lambda address: ascii(address)[:40])
def test_login_with_an_invalid_address_finds_nothing(address: str) -> None:
    """Proves that a login's address never raises and can always be looked up and counted."""
    key = lookup_key(address)
    assert key.encode("utf-8") is not None
    assert "\x00" not in key
    assert len(key) <= LONGEST


@pytest.mark.parametrize(("length", "fits"), [(LONGEST, True), (LONGEST + 1, False)])
def test_the_longest_address(length: int, fits: bool) -> None:
    """Proves that 254 characters sign up and log in by their own key, and one more does neither."""
    address = "a" * (length - len(LONG_DOMAIN) - 1) + "@" + LONG_DOMAIN
    assert len(address) == length
    if fits:
        assert lookup_key(address) == normalize(address).key == address
    else:
        with pytest.raises(InvalidField):
            normalize(address)
        assert "@" not in lookup_key(address)


@pytest.mark.parametrize("address", ["a" * 60_000 + "@example.com", "a@" + "é." * 30_000])
def test_long_addresses_never_reach_the_libraries(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that the length is looked at before anything whose time grows with it."""
    for name in ("email_validator", "idna", "unicode_form"):
        monkeypatch.setattr(emails, name, None)
    assert "@" not in lookup_key(address)


def test_overlong_addresses_are_told_apart() -> None:
    """Proves that wrong tries are not counted together for all that cannot be an address."""
    assert lookup_key("a" * 300) != lookup_key("b" * 300)
    assert lookup_key("\ud800@x.de") not in {lookup_key("?@x.de"), lookup_key("\ud801@x.de")}


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same_addresses_have_one_key(one: str, other: str) -> None:
    """Proves that addresses a person takes for the same are one account."""
    assert normalize(one).key == normalize(other).key == lookup_key(one) == lookup_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_addresses_have_two_keys(one: str, other: str) -> None:
    """Proves that no more is folded than the contract says."""
    assert normalize(one).key != normalize(other).key


@settings(deadline=None)
@given(st.text())
@example("ǰ")  # folds into two characters, which NFKC joins again
def test_a_key_is_its_own_key(address: str) -> None:
    """Proves that a key does not change when it is normalized once more."""
    key = lookup_key(f"a{address}z")  # the ends keep a normalized blank from being stripped
    assert lookup_key(key) == key
    assert unicodedata.is_normalized("NFKC", key)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["x.de", "ß.de"]))
def test_whoever_signed_up_can_log_in(local_part: str, domain: str) -> None:
    """Proves that login finds by the same key what signup accepts, whatever it is."""
    try:
        accepted = normalize(f"{local_part}@{domain}")
    except InvalidField:
        return
    assert lookup_key(f"{local_part}@{domain}") == accepted.key
    assert lookup_key(accepted.as_given) == accepted.key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Sam@example.com", "sAM@EXAMPLE.com", True),
        ("sam@bücher.example", "sam@xn--bcher-kva.example", True),
        ("sam@ｅxample.com", "sam@example.com", True),
        ("ſam@example.com", "sam@example.com", False),
        ("ｓam@example.com", "sam@example.com", False),
        ("mi\u212ae@example.com", "mike@example.com", False),
        ("straße@example.com", "strasse@example.com", False),
        ("É@example.com", "é@example.com", False),
        ("sam@straße.de", "sam@strasse.de", False),
    ],
)
def test_one_key_may_be_two_mailboxes(one: str, other: str, *, same: bool) -> None:
    """Local parts as written but for the case of ASCII letters, domains as A-labels."""
    assert emails.is_same_mailbox(one, other) is same
