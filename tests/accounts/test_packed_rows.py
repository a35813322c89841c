"""Packed rows: what comes out is what went in, in so many bytes."""

import random
import secrets
from datetime import UTC, datetime

import msgspec
import pytest

from service.accounts import packed_rows
from service.accounts.packed_rows import PackedRows
from service.accounts.user_rows import User
from service.clock import moment

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
PLAIN = User(b"\x01" * 16, "ada@example.com", NOW)
FULL = User(
    b"\x02" * 16,
    "a" * 30 + "@example.com",
    NOW,
    two_fa_enabled=True,
    recovery_codes_left=10,
    version=2**53 - 1,
    disabled_at=moment(0),
    sessions_from=2**53 - 1,
    password_changed_at=moment(1),
    email_verified_at=moment(2**42),
    locale="de",
    awaits_verification=True,
)


def people(count: int, seed: int = 1) -> list[User]:
    """So many people with ids as random as they are minted."""
    drawn = random.Random(seed)
    return [
        User(drawn.randbytes(16), f"{number}@example.com", NOW, version=drawn.randrange(2**53))
        for number in range(count)
    ]


@pytest.mark.parametrize("user", [PLAIN, FULL])
def test_what_was_put_is_found(user: User) -> None:
    """Field by field, with its version alone."""
    rows = PackedRows()
    rows.put(user, 1.5)
    assert rows.find(user.id, user.version) == (user, 1.5)
    assert rows.find(user.id, user.version + 1) is None
    for other in (b"", b"\x00" * 16, user.id[:15] + b"\xff", user.id[1:]):
        assert rows.find(other, user.version) is None
    for field in ("two_fa_enabled", "awaits_verification"):
        changed = msgspec.structs.replace(user, **{field: not getattr(user, field)})
        rows.put(changed, 2.5)
        assert rows.find(user.id, user.version) == (changed, 2.5)
    rows.drop(user.id)
    assert rows.find(user.id, user.version) is None
    assert user.email.encode() not in b"".join(page.bytes for page in rows._pages)


def test_each_of_many_is_found() -> None:
    """However often pages have split; in less than 200 bytes each."""
    rows, several = PackedRows(), people(20_000)
    for number, user in enumerate(several):
        rows.put(user, number)
    assert all(
        rows.find(user.id, user.version) == (user, number) for number, user in enumerate(several)
    )
    assert rows.size / len(several) < 200


def test_pages_are_bounded() -> None:
    """Whoever comes last is kept, and nobody finds what is another's."""
    rows = PackedRows(pages=8)
    for user in people(2_000):
        rows.put(user, 1.0)
        assert rows.find(user.id, user.version) == (user, 1.0)
    assert rows.size == 8 * 40 * 128
    left = [user for user in people(2_000) if rows.find(user.id, user.version)]
    assert 8 * 40 * 0.9 < len(left) <= 8 * 40


def test_ids_that_look_alike_cannot_make_it_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all bits by which pages are found are the same, there are few pages and places."""
    rows = PackedRows()
    for number in range(500):
        rows.put(msgspec.structs.replace(PLAIN, id=b"\x01" * 12 + number.to_bytes(4)), 1.0)
    assert len(rows._pages) <= packed_rows._DEEPEST + 1
    assert len(rows._by_bits) <= 1 << packed_rows._DEEPEST


def test_what_does_not_fit_is_not_kept() -> None:
    """Nor is the row that was there before it: it is another version."""
    rows = PackedRows()
    rows.put(PLAIN, 1.0)
    for user in (
        msgspec.structs.replace(PLAIN, email="a" * 242 + "@example.com"),
        msgspec.structs.replace(PLAIN, id=b"\x00" * 16),
        msgspec.structs.replace(PLAIN, id=b"short"),
    ):
        rows.put(user, 2.0)
        assert rows.find(user.id, user.version) is None


def test_what_differs_goes() -> None:
    """A confirmation prolongs the same version, and takes away another, but for one read later."""
    rows = PackedRows()
    rows.put(FULL, 5.0)
    rows.confirm(FULL.id, 1, 4.0)
    rows.confirm(secrets.token_bytes(16), 1, 6.0)
    assert rows.find(FULL.id, FULL.version) == (FULL, 5.0)
    rows.confirm(FULL.id, FULL.version, 6.0)
    assert rows.find(FULL.id, FULL.version) == (FULL, 6.0)
    for version in (1, None):
        rows.confirm(FULL.id, version, 7.0)
        assert rows.find(FULL.id, FULL.version) is None
        rows.put(FULL, 5.0)


def test_what_is_old_goes() -> None:
    """Once all shares were swept, and nothing else with it."""
    rows, several = PackedRows(), people(500)
    for number, user in enumerate(several):
        rows.put(user, number)
    for _ in range(10):
        rows.sweep(10, 250)
    kept = [rows.find(user.id, user.version) is not None for user in several]
    assert kept == [False] * 250 + [True] * 250
