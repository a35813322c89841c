"""Passwords: what a hash tells apart, and that no answer tells more by its time."""

import asyncio
import base64
import hmac
import threading
import time
import unicodedata
from collections.abc import Iterator

import bcrypt
import pytest

from service.accounts import passwords as module
from service.accounts.hashing import HashingPool
from service.accounts.passwords import PasswordHash, Passwords
from service.errors import KeyServiceUnavailable, Overloaded

RIGHT = "correct horse battery staple"

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


async def test_the_right_password_and_no_other(passwords: Passwords) -> None:
    """Proves that a hash lets its password in, and says nothing of it when shown."""
    stored = await passwords.hash(RIGHT)
    assert await passwords.verify(RIGHT, stored)
    assert not await passwords.verify(RIGHT + "!", stored)
    assert not await passwords.verify(RIGHT, None)
    assert stored.value.startswith("$2b$04$")
    assert stored.value not in repr(stored)
    assert await passwords.hash(RIGHT) != stored


async def test_an_account_without_a_password(passwords: Passwords) -> None:
    """Proves that nothing lets anybody in, and that there is no hash to be renewed."""
    nothing = PasswordHash(0, "")
    assert nothing.is_none
    assert not (await passwords.hash(RIGHT)).is_none
    for password in ("", RIGHT, "\x00"):
        assert not await passwords.verify(password, nothing)
    assert not passwords.outdated(nothing)


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


@pytest.mark.parametrize(("length", "counts"), [(0, False), (1, True), (1024, True), (1025, False)])
async def test_how_long_a_password_is(passwords: Passwords, length: int, counts: bool) -> None:
    """Proves that 1 to 1,024 characters are looked at, whatever was hashed."""
    stored = await passwords.hash("x" * length)
    assert await passwords.verify("x" * length, stored) == counts


def test_a_decoy_is_as_long_as_a_hash(passwords: Passwords) -> None:
    """Proves that it is looked at as one."""
    assert len(passwords._decoy(4).value) == 60


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


async def test_another_cost_is_outdated_upwards_only(
    pool: HashingPool, passwords: Passwords
) -> None:
    """Proves that a raised cost reaches the hashes that exist, and a lowered one does not."""
    stored = await passwords.hash(RIGHT)
    assert not passwords.outdated(stored)
    raised = Passwords(pool, {1: b"pepper"}, 5)
    assert raised.outdated(stored)
    assert (await raised.renew(RIGHT, stored)).cost == 5
    assert not passwords.outdated(PasswordHash(1, "$2b$05$" + "." * 53))


async def test_a_new_pepper_keeps_a_higher_cost(pool: HashingPool) -> None:
    """Proves that a hash renewed for its pepper's sake does not become cheaper to guess at."""
    costly = await Passwords(pool, {1: b"pepper"}, 6).hash(RIGHT)
    newer = Passwords(pool, {1: b"pepper", 2: b"more"}, 4)
    assert newer.outdated(costly)
    renewed = await newer.renew(RIGHT, costly)
    assert (renewed.scheme, renewed.cost) == (2, 6)
    assert await newer.verify(RIGHT, renewed)


def test_a_cost_has_two_digits() -> None:
    """Proves that the cost is read whole."""
    assert PasswordHash(1, "$2b$12$" + "." * 53).cost == 12
    assert PasswordHash(1, "$2b$04$" + "." * 53).cost == 4


async def test_a_full_pool_or_no_pepper_refuses_before_the_look_up(passwords: Passwords) -> None:
    """Proves that what cannot be hashed is refused before an account is looked for."""
    passwords.check_room()
    with pytest.raises(KeyServiceUnavailable):
        Passwords(passwords._pool, {}, 4).check_room()
    full = HashingPool(workers=1, queue_limit=0)
    gate = threading.Event()
    job = asyncio.create_task(full.run(gate.wait, 30))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        Passwords(full, {1: b"pepper"}, 4).check_room()
    gate.set()
    await job
    await full.close()


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


async def test_hashes_of_a_higher_cost_do_not_tell_either(pool: HashingPool, work: Work) -> None:
    """Proves that after the cost was lowered, unknown accounts and new ones say no as slowly as
    old ones: as soon as the user store has told of them, or one was seen."""
    old = await Passwords(pool, {1: b"pepper"}, 7).hash(RIGHT)
    for told in (True, False):
        lowered = Passwords(pool, {1: b"pepper"}, 4)
        new = await lowered.hash(RIGHT)
        if told:
            lowered.expect(7)
        rounds = []
        for account in (old, new, None):
            work.rounds = 0
            assert not await lowered.verify("wrong password", account)
            rounds.append(work.rounds)
        assert rounds == [2**7] * 3


@pytest.mark.parametrize(("was", "cost"), [(8, 5), (5, 8)])
async def test_no_takes_the_same_cpu_time(pool: HashingPool, was: int, cost: int) -> None:
    """Proves by a thread's clock what the rounds promise: medians within a tenth."""
    old = await Passwords(pool, {1: b"pepper"}, was).hash(RIGHT)
    passwords = Passwords(pool, {1: b"pepper"}, cost)
    passwords.expect(was)
    accounts = {"old": old, "new": await passwords.hash(RIGHT), "unknown": None}
    taken: dict[str, list[int]] = {name: [] for name in accounts}
    for _ in range(15):
        for name, account in accounts.items():
            began = time.thread_time_ns()
            assert not passwords._matches("wrong password", account)
            taken[name].append(time.thread_time_ns() - began)
    medians = sorted(sorted(times)[len(times) // 2] for times in taken.values())
    assert medians[-1] < 1.1 * medians[0], medians


async def test_a_megabyte_is_not_looked_at(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that the size of what is sent for a password does not become work."""
    lengths = []

    def measured(text: str) -> str:
        lengths.append(len(text))
        return text

    stored = await passwords.hash(RIGHT)
    monkeypatch.setattr(module, "normal", measured)
    for account in (stored, None):
        assert not await passwords.verify("x" * 1_000_000, account)
    assert lengths == [0, 0]
