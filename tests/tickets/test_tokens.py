"""The spelling, the layout and the MAC of the tokens of tickets."""

import base64
import hashlib
import hmac
import string

import pytest
from hypothesis import given, strategies as st
from tools.testbed.parts import MAC_KEYS

from service.errors import KeyServiceUnavailable, TicketNotFound
from service.keyring.derivation import derive
from service.sessions.refresh_tokens import RefreshTokens
from service.tickets.tokens import PASSWORD_RESET, PURPOSES, Purpose, TicketTokens, Token

USER = bytes(range(16))
OTHER_PURPOSE = Purpose("other", 200, "osm_")
ALPHABET = string.ascii_letters + string.digits + "-_"


@pytest.fixture
def tokens() -> TicketTokens:
    return TicketTokens(MAC_KEYS, 2)


@pytest.fixture
def token(tokens: TicketTokens) -> Token:
    return tokens.mint(PASSWORD_RESET, USER)


def body_of(token: Token) -> bytes:
    return base64.urlsafe_b64decode(token.text.removeprefix("osm_"))


def spell(secret: bytes) -> str:
    return "osm_" + base64.urlsafe_b64encode(secret).decode()


def test_the_layout(token: Token) -> None:
    """Offsets, lengths and the MAC are the documented ones; the digest is of the text."""
    assert len(token.text) == 104
    secret = body_of(token)
    assert secret[:3] == b"\x01\x02\x01"
    assert secret[3:19] == USER
    key = derive(MAC_KEYS[2], b"openshow tickets, version 1")
    assert secret[51:] == hmac.digest(key, secret[:51], "sha256")[:24]
    assert token.digest == hashlib.sha256(token.text.encode()).digest()[:16]


def test_derivation_is_that_of_rfc_5869() -> None:
    """As the library that other keys are derived by does it."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"some purpose")
    assert derive(b"key" * 11, b"some purpose") == hkdf.derive(b"key" * 11)


def test_a_minted_token_is_recognised(tokens: TicketTokens, token: Token) -> None:
    """What was minted is read back, whole, also after the MAC key has got its successor."""
    assert tokens.recognise(token.text, PASSWORD_RESET) == token
    assert TicketTokens(MAC_KEYS, 1).recognise(token.text, PASSWORD_RESET) == token


def test_each_token_is_another(tokens: TicketTokens) -> None:
    """256 of its bits are random."""
    assert len({tokens.mint(PASSWORD_RESET, USER).text for _ in range(100)}) == 100


def test_nothing_shows_it(token: Token) -> None:
    """Neither the text nor the bytes stand in its repr."""
    assert token.text not in repr(token)
    assert repr(token.secret)[2:-1] not in repr(token)


def test_any_other_character_anywhere_is_refused(tokens: TicketTokens, token: Token) -> None:
    """Each of the 104 places, with every other character of the alphabet and some besides."""
    for place, right in enumerate(token.text):
        for wrong in ALPHABET + "+/= \n\0éА٠":
            if wrong != right:
                text = token.text[:place] + wrong + token.text[place + 1 :]
                with pytest.raises(TicketNotFound):
                    tokens.recognise(text, PASSWORD_RESET)


@pytest.mark.parametrize("change", [
    lambda text: text + "=", lambda text: text + "A", lambda text: text + "\n",
    lambda text: " " + text, lambda text: text[:-1], lambda text: text[:-4],
    lambda text: text.removeprefix("osm_"), lambda text: "OSM_" + text[4:],
    lambda text: "osr_" + text[4:], lambda text: text.swapcase(),
    lambda text: "".join(chr(ord(c) + 0xFEE0) for c in text),
    lambda text: text[:-1] + "\ud800", lambda _: "", lambda _: "osm_",
])  # fmt: skip
def test_another_spelling_is_refused(tokens, token, change) -> None:  # type: ignore[no-untyped-def]
    """Padding, white space, case, width, length: a token has one spelling."""
    with pytest.raises(TicketNotFound):
        tokens.recognise(change(token.text), PASSWORD_RESET)


@given(st.text(max_size=200) | st.binary(min_size=75, max_size=75).map(spell))
def test_whatever_else_is_refused(text: str) -> None:
    """No text makes it fail in another way."""
    with pytest.raises(TicketNotFound):
        TicketTokens(MAC_KEYS, 2).recognise(text, PASSWORD_RESET)


def test_another_purpose(tokens: TicketTokens, token: Token) -> None:
    """A token of one purpose is none for another, and the byte of it cannot be exchanged."""
    with pytest.raises(TicketNotFound):
        tokens.recognise(token.text, OTHER_PURPOSE)
    secret = bytearray(body_of(token))
    secret[2] = OTHER_PURPOSE.code
    with pytest.raises(TicketNotFound):
        tokens.recognise(spell(bytes(secret)), OTHER_PURPOSE)


def test_the_purposes_are_told_apart() -> None:
    """No two share a code or a name, by which they are kept."""
    assert len({purpose.code for purpose in PURPOSES}) == len(PURPOSES)
    assert len({purpose.name for purpose in PURPOSES}) == len(PURPOSES)


def test_keys_are_its_own(tokens: TicketTokens) -> None:
    """A MAC under the key of refresh tokens itself authenticates no ticket, nor the reverse."""
    token = tokens.mint(PASSWORD_RESET, USER)
    body = body_of(token)[:51]
    with pytest.raises(TicketNotFound):
        tokens.recognise(
            spell(body + hmac.digest(MAC_KEYS[2], body, "sha256")[:24]), PASSWORD_RESET
        )
    refresh = RefreshTokens(MAC_KEYS, 2).mint(USER, bytes(12), 0)
    with pytest.raises(TicketNotFound):
        tokens.recognise("osm_" + refresh.text[4:], PASSWORD_RESET)


def test_a_revoked_key(token: Token) -> None:
    """What was made by a key that is gone is refused; another key of the same id does not help."""
    for keys in ({1: MAC_KEYS[1]}, {1: MAC_KEYS[1], 2: b"x" * 32}):
        with pytest.raises(TicketNotFound):
            TicketTokens(keys, 1).recognise(token.text, PASSWORD_RESET)


def test_closed_keys(token: Token) -> None:
    """While the keys are not open nobody can tell, but of junk, which stays junk."""
    closed = TicketTokens({}, 0)
    with pytest.raises(KeyServiceUnavailable):
        closed.mint(PASSWORD_RESET, USER)
    with pytest.raises(KeyServiceUnavailable):
        closed.recognise(token.text, PASSWORD_RESET)
    with pytest.raises(TicketNotFound):
        closed.recognise("osm_junk", PASSWORD_RESET)
