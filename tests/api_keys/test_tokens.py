"""The text of an API key: what is not spelt as one costs nothing."""

import base64
import secrets

import pytest

from service.api_keys import tokens


def test_it_is_read_as_it_was_minted() -> None:
    """With its id and digest, which its `repr` does not tell."""
    minted = tokens.mint()
    assert minted.text.startswith("osk_")
    assert tokens.read(minted.text) == minted
    assert minted.text[20:] not in repr(minted)
    assert minted.digest.hex() not in repr(minted)
    assert tokens.mint().id != minted.id


@pytest.mark.parametrize("place", range(4, 64, 7))
def test_no_character_can_be_another(place: int) -> None:
    """The checksum finds it, without any store."""
    text = tokens.mint().text
    other = "A" if text[place] != "A" else "B"
    assert tokens.read(text[:place] + other + text[place + 1 :]) is None


@pytest.mark.parametrize(
    "junk",
    ["", "osk_", "osk_" + "A" * 60, "osr_" + "A" * 60, "osk_" + "é" * 60, "x" * 70_000],
    ids=len,
)
def test_junk(junk: str) -> None:
    """Is none, whatever it is."""
    assert tokens.read(junk) is None


def test_another_version_is_none() -> None:
    """Even with a checksum of our making."""
    body = b"\x02" + secrets.token_bytes(40)
    secret = body + tokens._checksum(body)
    assert tokens.read("osk_" + base64.urlsafe_b64encode(secret).decode()) is None
