"""The schema: brought up to date once, wholly, by whoever comes first."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from service.database import migration
from service.database.engine import database_file
from service.database.migration import migrate
from service.database.tables import metadata
from service.errors import StartupError
from tests.database.migrating import migrate_and_die, migrate_at_once

LATEST = "0003"


def ask(file: Path, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


def tables(file: Path) -> set[object]:
    return {name for (name,) in ask(file, "SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_metadata_and_migrations_agree(url: str, file: Path) -> None:
    """Proves that the tables the code speaks of are those that the migrations make."""
    migrate(url)
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(file))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_constraints_have_their_names(url: str, file: Path) -> None:
    """Proves that a later migration can name what it drops, and that it is the tables' name."""
    migrate(url)
    made = " ".join(str(sql) for (sql,) in ask(file, "SELECT sql FROM sqlite_master"))
    named = [
        constraint.name for table in metadata.sorted_tables for constraint in table.constraints
    ]
    assert len(named) == 7
    for name in named:
        assert f"CONSTRAINT {name} " in made


def test_migrating_again_changes_nothing(url: str, file: Path) -> None:
    """Proves that every start may migrate."""
    migrate(url)
    before = ask(file, "SELECT * FROM sqlite_master")
    migrate(url)
    assert ask(file, "SELECT * FROM sqlite_master") == before
    assert ask(file, "SELECT version_num FROM alembic_version") == [(LATEST,)]
    assert ask(file, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize("_again", range(3))
def test_racing_processes_migrate_once(url: str, file: Path, _again: int) -> None:
    """Proves that processes that start together on a new database all come up."""
    assert migrate_at_once(url, 4) == [("", 0)] * 4
    assert ask(file, "SELECT version_num FROM alembic_version") == [(LATEST,)]


def test_the_first_start_waits_for_a_writer(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that a new file is waited for even where SQLite itself does not wait."""
    database_file(url)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(migration.time, "sleep", lambda _seconds: other.close())
    migrate(url)
    assert ask(file, "PRAGMA journal_mode") == [("wal",)]


def test_killed_half_way_leaves_nothing_half(url: str, file: Path) -> None:
    """Proves that a crash inside a version undoes the whole of it, and the next start succeeds."""
    assert migrate_and_die(url) == -9
    assert tables(file) == set()
    migrate(url)
    assert tables(file) == {*metadata.tables, "alembic_version"}


def test_a_newer_database_stops_the_start(url: str, file: Path) -> None:
    """Proves that an old program does not touch what a newer one has migrated."""
    migrate(url)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StartupError, match="version 9999, newer than this program") as refused:
        migrate(url)
    assert "\n" not in str(refused.value)


def test_what_is_no_database_stops_the_start(url: str, file: Path) -> None:
    """Proves that a file with something else in it is one line for the operator."""
    file.write_bytes(b"no database, but long enough to have a header" * 100)
    with pytest.raises(StartupError, match="file is not a database") as refused:
        migrate(url)
    assert "\n" not in str(refused.value)


def test_second_factors_of_before_tell_their_epoch(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that version 0003 finds the epoch of every secret there is, and then guards it."""
    upgrade = migration.command.upgrade
    monkeypatch.setattr(migration.command, "upgrade", lambda config, _: upgrade(config, "0002"))
    migrate(url)
    monkeypatch.undo()
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO data_keys VALUES (1, x'01', 0)")
        connection.execute("INSERT INTO sealed_keys VALUES ('signing', '1', x'01', 0)")
        for number, sealed in ((1, "x'0100000001'"), (2, "NULL")):
            connection.execute(
                "INSERT INTO users (id, email, email_key, password_hash, password_scheme,"
                " totp_sealed, created_at)"
                f" VALUES (x'0{number}', '', '{number}', '', 1, {sealed}, 0)"
            )
    migrate(url)
    assert ask(file, "SELECT totp_epoch FROM users ORDER BY id") == [(1,), (None,)]
    assert ask(file, "SELECT active_from FROM data_keys") == [(0,)]
    assert ask(file, "SELECT public, active_from FROM sealed_keys") == [(None, 0)]
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            connection.execute("DELETE FROM data_keys")
