"""The spelling, the layout and the MAC of refresh tokens, and the sealed handoff."""

import base64
import hashlib
import hmac
import string

import pytest
from hypothesis import given, strategies as st
from tools.testbed.parts import MAC_KEYS

from service.errors import InvalidRefreshToken
from service.sessions.refresh_tokens import (
    RefreshToken,
    RefreshTokens,
    open_successor,
    seal_successor,
)

USER, SESSION = bytes(range(16)), bytes(range(12))
ALPHABET = string.ascii_letters + string.digits + "-_"


@pytest.fixture
def token(refresh_tokens: RefreshTokens) -> RefreshToken:
    return refresh_tokens.mint(USER, SESSION, 7)


def spell(secret: bytes) -> str:
    return "osr_" + base64.urlsafe_b64encode(secret).decode()


def test_the_layout(token: RefreshToken) -> None:
    """Offsets, lengths and the MAC are the documented ones; the digest is of the text."""
    assert len(token.text) == 124
    secret = base64.urlsafe_b64decode(token.text.removeprefix("osr_"))
    assert secret[:2] == b"\x01\x02"
    assert (secret[2:18], secret[18:30], secret[30:34]) == (USER, SESSION, b"\0\0\0\x07")
    assert secret[66:] == hmac.digest(MAC_KEYS[2], secret[:66], "sha256")[:24]
    assert token.digest == hashlib.sha256(token.text.encode()).digest()[:16]


def test_a_minted_token_is_recognised(refresh_tokens: RefreshTokens, token: RefreshToken) -> None:
    """What was minted is read back, whole."""
    assert refresh_tokens.recognise(token.text) == token


def test_each_token_is_another(refresh_tokens: RefreshTokens) -> None:
    """256 of its bits are random, also for the same session and generation."""
    assert len({refresh_tokens.mint(USER, SESSION, 0).text for _ in range(100)}) == 100


def test_any_other_character_anywhere_is_refused(
    refresh_tokens: RefreshTokens, token: RefreshToken
) -> None:
    """Each of the 124 places, with every other character of the alphabet and some besides."""
    for place, right in enumerate(token.text):
        for wrong in ALPHABET + "+/= \n\0éА٠":
            if wrong != right:
                text = token.text[:place] + wrong + token.text[place + 1 :]
                with pytest.raises(InvalidRefreshToken):
                    refresh_tokens.recognise(text)


@pytest.mark.parametrize("change", [
    lambda text: text + "=", lambda text: text + "==", lambda text: text + "A",
    lambda text: text + "\n", lambda text: " " + text, lambda text: text + "\0",
    lambda text: text[:-1], lambda text: text[:-4], lambda text: text.removeprefix("osr_"),
    lambda text: "OSR_" + text[4:], lambda text: text[4:] + "osr_", lambda text: text.swapcase(),
    lambda text: text[:4] + "\n" + text[4:-1], lambda text: text.replace("osr_", "osr-"),
    lambda text: "".join(chr(ord(c) + 0xFEE0) for c in text),
    lambda text: text[:-1] + "\ud800", lambda _: "", lambda _: "osr_",
])  # fmt: skip
def test_another_spelling_is_refused(refresh_tokens, token, change) -> None:  # type: ignore[no-untyped-def]
    """Padding, white space, case, width, length: a token has one spelling."""
    with pytest.raises(InvalidRefreshToken):
        refresh_tokens.recognise(change(token.text))


def test_the_standard_alphabet_is_refused(refresh_tokens: RefreshTokens) -> None:
    """`+` and `/` mean the same bits to a lenient decoder; not here."""
    texts = [refresh_tokens.mint(USER, SESSION, 0).text for _ in range(50)]
    for text in texts:
        body = text[4:].replace("-", "+").replace("_", "/")
        if body != text[4:]:
            with pytest.raises(InvalidRefreshToken):
                refresh_tokens.recognise("osr_" + body)


def test_the_mac_key_is_chosen_by_id(refresh_tokens: RefreshTokens) -> None:
    """An older key still verifies; one key's MAC under another's id, or an unknown id, does not."""
    old = RefreshTokens(MAC_KEYS, 1).mint(USER, SESSION, 0)
    assert refresh_tokens.recognise(old.text) == old
    for key_id in (0, 2, 3, 255):
        body = bytes((1, key_id)) + old.secret[2:66]
        with pytest.raises(InvalidRefreshToken):
            refresh_tokens.recognise(spell(body + hmac.digest(MAC_KEYS[1], body, "sha256")[:24]))
    stranger = RefreshTokens({2: b"x" * 32}, 2).mint(USER, SESSION, 0)
    with pytest.raises(InvalidRefreshToken):
        refresh_tokens.recognise(stranger.text)


def test_another_version_is_refused(refresh_tokens: RefreshTokens, token: RefreshToken) -> None:
    """Also with a right MAC over it."""
    body = b"\x02" + token.secret[1:66]
    with pytest.raises(InvalidRefreshToken):
        refresh_tokens.recognise(spell(body + hmac.digest(MAC_KEYS[2], body, "sha256")[:24]))


@given(st.text() | st.text(alphabet=ALPHABET, min_size=120, max_size=120).map("osr_".__add__))
def test_junk_is_refused(text: str) -> None:
    """Whatever text comes, it is refused in one way."""
    with pytest.raises(InvalidRefreshToken):
        RefreshTokens(MAC_KEYS, 2).recognise(text)


@given(st.binary(min_size=90, max_size=90))
def test_well_spelt_junk_is_refused(secret: bytes) -> None:
    """Ninety bytes in the right spelling are no token either."""
    with pytest.raises(InvalidRefreshToken):
        RefreshTokens(MAC_KEYS, 2).recognise(spell(b"\x01\x02" + secret[2:]))


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=12, max_size=12),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_every_token_reads_back(user: bytes, session: bytes, generation: int) -> None:
    """For all users, sessions and generations."""
    tokens = RefreshTokens(MAC_KEYS, 1)
    read = tokens.recognise(tokens.mint(user, session, generation).text)
    assert (read.user_id, read.session_id, read.generation) == (user, session, generation)


def test_the_last_generation_has_no_successor(refresh_tokens: RefreshTokens) -> None:
    """After four thousand million rotations a session is at its end, not at generation 0."""
    with pytest.raises(InvalidRefreshToken):
        refresh_tokens.mint(USER, SESSION, 2**32)


def test_repr_shows_no_secret(token: RefreshToken) -> None:
    """Nothing of the random bits, the MAC, the digest or the text."""
    for shown in (repr(token), str(token), f"{[token]}"):
        assert token.text not in shown
        assert "secret" not in shown
        assert token.digest.hex() not in shown
        assert str(token.secret[34:40])[2:-1] not in shown


def test_the_spent_token_opens_its_successor(refresh_tokens: RefreshTokens) -> None:
    """What is kept for racers gives back the successor, to a holder of the spent token."""
    spent, successor = (refresh_tokens.mint(USER, SESSION, number) for number in (0, 1))
    sealed = seal_successor(spent, successor)
    assert open_successor(spent, sealed) == successor
    assert successor.secret[34:66] not in sealed
    assert sealed != seal_successor(spent, successor), "each time another nonce"


def test_nobody_else_opens_a_successor(refresh_tokens: RefreshTokens) -> None:
    """Not the successor, not another token; not when a bit was changed or cut off."""
    spent, successor, other = (refresh_tokens.mint(USER, SESSION, n) for n in (0, 1, 0))
    sealed = seal_successor(spent, successor)
    changed = [sealed[:n] + bytes((sealed[n] ^ 1,)) + sealed[n + 1 :] for n in range(len(sealed))]
    attempts = [(successor, sealed), (other, sealed), (spent, b""), (spent, sealed[:20])]
    for holder, blob in [*attempts, (spent, sealed[:-1]), *((spent, blob) for blob in changed)]:
        with pytest.raises(InvalidRefreshToken):
            open_successor(holder, blob)
