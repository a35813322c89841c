"""Passwords: the policy, and what a hash tells apart."""

import base64
import hmac
import unicodedata
from collections.abc import Iterator

import bcrypt
import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from service.accounts import passwords as module
from service.accounts.hashing import HashingPool
from service.accounts.passwords import COMMON, PasswordHash, Passwords, check_policy
from service.errors import InvalidField, WeakPassword

RIGHT = "correct horse battery staple"

GOOD = [
    "zq7!kfwm",  # exactly 8
    "zq7!kfw\x00",
    "😀😃😄😁😆😅😂🤣",  # 8 characters, 32 bytes
    "e\u0301e\u0300e\u0302e\u0308",  # 8 as sent, 4 after NFKC
    "x" * 1024,
    "𝒳" * 1024,
    "\u0301" * 1024,
    "        ",
]

TOO_SHORT = [
    "",
    "zq7!kfw",
    "😀😃😄😁😆😅😂",
    "\ufdfa",  # 1 as sent, 18 after NFKC
    "ﬃﬃﬃ",  # 3 as sent, 9 after NFKC
]

TOO_LONG = ["x" * 1025, "𝒳" * 1025, "e\u0301" * 513, "x" * 1_000_000]

TOO_COMMON = [
    "password",
    "PassWord",
    "ｐａｓｓｗｏｒｄ",
    "paſſword",
    "12345678",
    "iloveyou",
    "trustno1",
]

SAME = [
    ("Ångström Ⅸ", "A\u030angstro\u0308m IX"),
    ("ｆｕｌｌｗｉｄｔｈ", "fullwidth"),
]

DIFFERENT = [
    ("x" * 72 + "a", "x" * 72 + "b"),
    ("x" * 72, "x" * 73),
    ("x" * 1023 + "a", "x" * 1023 + "b"),
    ("😀" * 18 + "a", "😀" * 18 + "b"),  # 72 bytes, then the difference
    ("secret\x00one", "secret\x00two"),
    ("\x00one", "\x00two"),
    ("secret12", "secret12\x00"),
    ("Password of mine", "password of mine"),
    ("password of mine", " password of mine "),
    ("password\ud800", "password?"),
    ("password\ud800", "password\ud801"),
]


@pytest.mark.parametrize("password", GOOD, ids=ascii)
def test_good_passwords_pass(password: str) -> None:
    """Proves that lengths are counted in characters as sent, and nothing else is asked for."""
    check_policy(password)


@pytest.mark.parametrize("password", TOO_SHORT, ids=ascii)
def test_short_passwords_are_weak(password: str) -> None:
    """Proves that seven characters are too few, also if normalizing makes more of them."""
    with pytest.raises(WeakPassword, match="at least 8 characters"):
        check_policy(password)


@pytest.mark.parametrize("password", TOO_LONG, ids=len)
def test_long_passwords_are_a_bad_request(password: str) -> None:
    """Proves that 1,025 characters are too many, also if normalizing makes fewer of them."""
    with pytest.raises(InvalidField, match="1,024 characters") as refused:
        check_policy(password)
    assert refused.value.field == "password"


@pytest.mark.parametrize("password", TOO_COMMON)
def test_common_passwords_are_weak(password: str) -> None:
    """Proves that upper case and look-alikes do not help a common password."""
    with pytest.raises(WeakPassword, match="most common"):
        check_policy(password)


def test_the_common_ones_are_the_first_three_thousand() -> None:
    """Proves where the line is drawn: at rank 3,000, not before and not after."""
    ranked = FREQUENCY_LISTS["passwords"]
    assert len(COMMON) == 3000
    assert set(ranked[:3000]) == COMMON
    last, first_free = (
        next(word for word in ranks if len(word) >= 8)
        for ranks in (reversed(ranked[:3000]), ranked[3000:])
    )
    with pytest.raises(WeakPassword):
        check_policy(last)
    check_policy(first_free)


async def test_the_right_password_and_no_other(passwords: Passwords) -> None:
    """Proves that a hash lets its password in, and says nothing of it when shown."""
    stored = await passwords.hash(RIGHT)
    assert await passwords.verify(RIGHT, stored)
    assert not await passwords.verify(RIGHT + "!", stored)
    assert not await passwords.verify(RIGHT, None)
    assert stored.value.startswith("$2b$04$")
    assert stored.value not in repr(stored)
    assert await passwords.hash(RIGHT) != stored


@pytest.mark.parametrize(("one", "other"), SAME)
async def test_normalized_passwords_are_the_same(
    passwords: Passwords, one: str, other: str
) -> None:
    """Proves that a password does not depend on the keyboard that composed its characters."""
    assert unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other)
    assert await passwords.verify(other, await passwords.hash(one))
    assert await passwords.verify(one, await passwords.hash(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=lambda text: ascii(text)[-20:])
async def test_every_character_counts(passwords: Passwords, one: str, other: str) -> None:
    """Proves that bcrypt's limits (72 bytes, NUL) are not ours."""
    assert await passwords.verify(one, await passwords.hash(one))
    assert not await passwords.verify(other, await passwords.hash(one))
    assert not await passwords.verify(one, await passwords.hash(other))


async def test_what_is_stored_is_what_is_documented(passwords: Passwords) -> None:
    """Proves the scheme by another spelling of it: whoever changes it must give it a new number."""
    stored = await passwords.hash("Ångström Ⅸ")
    digest = hmac.new(b"pepper", "Ångström IX".encode(), "sha384").digest()
    assert bcrypt.checkpw(base64.standard_b64encode(digest), stored.value.encode())
    assert stored.scheme == 1


async def test_the_pepper_is_under_the_hash(pool: HashingPool, passwords: Passwords) -> None:
    """Proves that the users table alone is not enough to guess at passwords."""
    stored = await passwords.hash(RIGHT)
    assert not await Passwords(pool, {1: b"another"}, 4).verify(RIGHT, stored)
    assert not bcrypt.checkpw(RIGHT.encode(), stored.value.encode())


async def test_a_new_pepper_leaves_old_hashes_valid(
    pool: HashingPool, passwords: Passwords
) -> None:
    """Proves that a hash is checked under its own scheme, and known to be due for a new one."""
    old = await passwords.hash(RIGHT)
    newer = Passwords(pool, {1: b"pepper", 2: b"more"}, 4)
    assert await newer.verify(RIGHT, old)
    assert newer.outdated(old)
    new = await newer.hash(RIGHT)
    assert new.scheme == 2
    assert not newer.outdated(new)
    assert await newer.verify(RIGHT, new)


async def test_another_cost_is_outdated(pool: HashingPool, passwords: Passwords) -> None:
    """Proves that a changed cost reaches the hashes that exist, up and down."""
    stored = await passwords.hash(RIGHT)
    assert not passwords.outdated(stored)
    assert Passwords(pool, {1: b"pepper"}, 5).outdated(stored)
    assert passwords.outdated(PasswordHash(1, "$2b$05$" + "." * 53))


class Work:
    """What bcrypt was asked to do: its calls, and their rounds all together."""

    def __init__(self) -> None:
        self.calls = 0
        self.rounds = 0

    def count(self, salt: bytes) -> None:
        self.calls += 1
        self.rounds += 2 ** int(salt[4:6])


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    work = Work()

    class CountedBcrypt:
        gensalt = staticmethod(bcrypt.gensalt)

        @staticmethod
        def hashpw(password: bytes, salt: bytes) -> bytes:
            work.count(salt)
            return bcrypt.hashpw(password, salt)

        @staticmethod
        def checkpw(password: bytes, stored: bytes) -> bool:
            work.count(stored)
            return bcrypt.checkpw(password, stored)

    monkeypatch.setattr(module, "bcrypt", CountedBcrypt)
    return work


async def test_every_no_costs_the_same(passwords: Passwords, work: Work) -> None:
    """Proves that the work does not tell whether an account exists, whatever is tried on it."""
    stored = await passwords.hash(RIGHT)
    for password in ("wrong password", "", "x", "x" * 1025, "x" * 1_000_000, "\ud800" * 8):
        for account in (stored, None):
            work.calls = 0
            assert not await passwords.verify(password, account)
            assert work.calls == 1, (password[:10], account)
    work.calls = 0
    assert await passwords.verify(RIGHT, stored)
    assert work.calls == 1


async def test_hashes_of_a_lower_cost_do_not_tell_either(
    pool: HashingPool, passwords: Passwords, work: Work
) -> None:
    """Proves that after the cost was raised, old accounts say no as slowly as unknown ones."""
    stored = await passwords.hash(RIGHT)
    raised = Passwords(pool, {1: b"pepper"}, 7)
    rounds = []
    for account in (stored, None):
        work.rounds = 0
        assert not await raised.verify("wrong password", account)
        rounds.append(work.rounds)
    assert rounds == [2**7, 2**7]


async def test_a_megabyte_is_not_looked_at(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that the size of what is sent for a password does not become work."""
    lengths = []

    class MeasuredUnicode:
        @staticmethod
        def normalize(form: str, text: str) -> str:
            lengths.append(len(text))
            return text

    stored = await passwords.hash(RIGHT)
    monkeypatch.setattr(module, "unicodedata", MeasuredUnicode)
    for account in (stored, None):
        assert not await passwords.verify("x" * 1_000_000, account)
    assert lengths == [0, 0]
