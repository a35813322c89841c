"""The policy for new passwords: what is refused, and that nothing else is."""

from pathlib import Path

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from service.accounts.blocklist import Blocklist
from service.accounts.password_policy import PasswordPolicy, common_passwords
from service.errors import InvalidField, WeakPassword

GOOD = [
    "zq7!kfwm",  # exactly 8
    "zq7!kfw\x00",
    "😀😃😄😁😆😅😂🤣",  # 8 characters, 32 bytes
    "xy" * 512,
    "𝒳y" * 512,
    "       x",
    "A\u030angstrom",
]

TOO_SHORT = [
    "",
    "zq7!kfw",
    "😀😃😄😁😆😅😂",
    "\ufdfa",  # 1 as sent, 18 after NFKC
    "ﬃﬃﬃ",  # 3 as sent, 9 after NFKC
    "e\u0301e\u0300e\u0302e\u0308",  # 8 as sent, 4 after NFKC
    "ㅎㅏㄴㄱㅡㄹ".translate({}) + "z",  # 7
]

TOO_LONG = [
    "x" * 1025,
    "𝒳" * 1025,
    "e\u0301" * 513,
    "x" * 1_000_000,
    "\ufdfa" * 57,  # 57 as sent, 1,026 after NFKC
    "ﬃ" * 342,  # 342 as sent, 1,026 after NFKC
]

TOO_COMMON = [
    "password",
    "PassWord",
    "ｐａｓｓｗｏｒｄ",
    "paſſword",
    "12345678",
    "iloveyou",
    "trustno1",
    "dutchess",
    "tiffany1",
    "idontkno",
]

REPEATED = ["zzzzzzzz", "ZzZzZzZz", "        ", "😀" * 8, "é" * 9, "e\u0301" * 9, "𝒳X" * 512]

EMAIL = "Ada.Lovelace42@Bücher.example"

GUESSABLE = [
    "OpenShow",
    "openshow123",
    "123OPENSHOW!",
    "--open show--",
    "Open-Show-99",
    "ＯｐｅｎＳｈｏｗ１",
    "ada.lovelace42@bücher.example",
    "ADA.LOVELACE42@BÜCHER.EXAMPLE!1",
    "Ada.Lovelace42",
    "!!ada.lovelace42!!",
    "ada.lovelace4299",
    "adalovelace42",
    "Ada-Lovelace-42",
]

NEAR = [
    "openshowcase",
    "myopenshow",
    "lovelace42!",
    "xada.lovelace42",
    "ada.lovelace4x",
    "ada.love",
]


def policy(shortest: int = 8) -> PasswordPolicy:
    return PasswordPolicy(shortest, "Open Show")


@pytest.mark.parametrize("password", GOOD, ids=ascii)
def test_good_passwords_pass(password: str) -> None:
    """Proves that lengths are counted in characters, and no composition is asked for."""
    policy().check(password, EMAIL)


@pytest.mark.parametrize("password", TOO_SHORT, ids=ascii)
def test_short_passwords_are_weak(password: str) -> None:
    """Proves that seven characters are too few, as sent or after NFKC."""
    with pytest.raises(WeakPassword, match="at least 8 characters"):
        policy().check(password)


@pytest.mark.parametrize("shortest", [8, 15, 64])
def test_the_shortest_can_be_set(shortest: int) -> None:
    """Proves that one character less than set is refused, and the message says how many."""
    text = ("correct horse battery staple " * 3)[:shortest]
    policy(shortest).check(text)
    with pytest.raises(WeakPassword, match=f"at least {shortest} characters"):
        policy(shortest).check(text[1:])


@pytest.mark.parametrize("password", TOO_LONG, ids=len)
def test_long_passwords_are_a_bad_request(password: str) -> None:
    """Proves that 1,025 characters are too many, as sent or after NFKC."""
    with pytest.raises(InvalidField, match="1,024 characters") as refused:
        policy().check(password)
    assert refused.value.field == "password"


@pytest.mark.parametrize("password", TOO_COMMON)
def test_common_passwords_are_weak(password: str) -> None:
    """Proves that upper case and look-alikes do not help a common password."""
    with pytest.raises(WeakPassword, match="most common"):
        policy().check(password)


@pytest.mark.parametrize("shortest", [8, 9, 12])
def test_the_common_ones_are_the_first_three_thousand_that_are_long_enough(shortest: int) -> None:
    """Proves where the line is drawn: at rank 3,000 of those that could be chosen at all."""
    ranked = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= shortest]
    common = common_passwords(shortest)
    assert len(common) == min(3000, len(ranked))
    assert set(ranked[:3000]) == common
    accepted = []
    for word in ranked[:3000]:
        try:
            policy(shortest).check(word)
        except WeakPassword:
            continue
        accepted.append(word)
    assert accepted == []
    if len(ranked) > 3000:
        policy(shortest).check(ranked[3000])


@pytest.mark.parametrize("password", REPEATED, ids=ascii)
def test_one_character_repeated_is_weak(password: str) -> None:
    """Proves that a repeated character is refused, however it is spelt."""
    with pytest.raises(WeakPassword, match=r"repeated|most common"):
        policy().check(password)


@pytest.mark.parametrize("password", GUESSABLE)
def test_what_is_guessed_first_is_weak(password: str) -> None:
    """Proves that address, local part and app name are refused, also with a little around them."""
    with pytest.raises(WeakPassword, match="e-mail address or the name of this app"):
        policy().check(password, EMAIL)


@pytest.mark.parametrize("password", NEAR)
def test_what_only_holds_such_a_word_passes(password: str) -> None:
    """Proves that letters around a word, or a part of it, make another password."""
    policy().check(password, EMAIL)


def test_nothing_is_guessed_from_nothing() -> None:
    """Proves that an empty app name or local part is not found in every password."""
    PasswordPolicy(8, "").check("8463910573", "")
    PasswordPolicy(8, "!").check("8463910573", "@example.com")


def test_a_file_of_the_operator(tmp_path: Path) -> None:
    """Refuses what it has, and nothing without it; eight characters are the default."""
    file = tmp_path / "known"
    file.write_text("zq7!kfwm-known\n")
    with pytest.raises(WeakPassword, match="known to others"):
        PasswordPolicy(blocklist=Blocklist(file)).check("zq7!kfwm-known")
    PasswordPolicy(blocklist=Blocklist(file)).check("zq7!kfwm-other")
    PasswordPolicy().check("zq7!kfwm-known")
    PasswordPolicy().check("zq7!kfwm")
