"""A user store that is put back to a copy while others use it."""

from pathlib import Path

from tools.testbed.user_store_copy import PostgresCopy, SqliteCopy, UserStoreCopy

from tests.support.user_stores import SqliteStore, UserStore


def users_of(store: UserStore) -> int:
    return int(store.ask("SELECT count(*) FROM users")[0][0])


def add(store: UserStore, name: str) -> None:
    store.ask(
        "INSERT INTO users (id, email, email_key, password_hash, password_scheme, two_fa_enabled,"
        " created_at, version) VALUES ($1, $2, $3, $4, 1, false, 0, 0)",
        name.encode().ljust(16),
        name,
        name,
        "hash",
    )


def test_it_is_as_it_was(user_store: UserStore, tmp_path: Path) -> None:
    """What came after the copy is gone, again and again; a newer copy has it."""
    copy: UserStoreCopy = (
        SqliteCopy(tmp_path / "service.db", tmp_path / "copy")
        if isinstance(user_store, SqliteStore)
        else PostgresCopy(user_store.url, tmp_path / "copy")
    )
    add(user_store, "ada")
    copy.take()
    for name in ("bob", "eve"):
        add(user_store, name)
        assert users_of(user_store) == 2
        copy.put_back()
        assert users_of(user_store) == 1
    add(user_store, "bob")
    copy.take()
    copy.put_back()
    assert users_of(user_store) == 2
