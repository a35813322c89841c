"""The schema: brought up to date once, wholly, by whoever comes first."""

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from service.database import versions
from service.database.migration import migrate
from service.database.sqlite import database_file
from service.database.tables import metadata
from service.errors import StartupError
from tests.database.migrating import migrate_and_die, migrate_at_once, migrate_to

LATEST = versions._known()[-1]
OLDEST_PROGRAM = "0003"  # raised by a version that takes something away, never by another


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
    assert len(named) >= 10
    for name in named:
        assert f"CONSTRAINT {name} " in made


def test_migrating_again_changes_nothing(url: str, file: Path) -> None:
    """Proves that every start may migrate."""
    migrate(url)
    before = ask(file, "SELECT * FROM sqlite_master")
    migrate(url)
    assert ask(file, "SELECT * FROM sqlite_master") == before
    assert ask(file, "SELECT version_num FROM openshow_schema") == [(LATEST,)]
    assert ask(file, "PRAGMA journal_mode") == [("wal",)]


def test_racing_processes_migrate_once(url: str, file: Path) -> None:
    """Proves that processes that start together on a new database all come up."""
    assert migrate_at_once(url, 4) == [("", 0)] * 4
    assert ask(file, "SELECT version_num FROM openshow_schema") == [(LATEST,)]


def test_the_first_start_waits_for_a_writer(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that a new file is waited for even where SQLite itself does not wait."""
    database_file(url, make=True)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(time, "sleep", lambda _seconds: other.close())
    migrate(url)
    assert ask(file, "PRAGMA journal_mode") == [("wal",)]


def test_killed_half_way_leaves_nothing_half(url: str, file: Path) -> None:
    """Proves that a crash inside a version undoes the whole of it, and the next start succeeds."""
    assert migrate_and_die(url) == -9
    assert tables(file) == set()
    migrate(url)
    assert tables(file) == {*metadata.tables, "alembic_version"}


def test_an_older_program_uses_what_was_only_added_to(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that a newer version by a migration that only adds keeps nobody from starting, is left
    alone, and that one that takes away does keep them."""
    migrate(url)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE openshow_schema SET version_num = '9999'")
        connection.execute("ALTER TABLE users ADD COLUMN colour TEXT")
    before = ask(file, "SELECT * FROM sqlite_master")
    migrate(url)
    assert ask(file, "SELECT * FROM sqlite_master") == before
    assert ask(file, "SELECT version_num FROM openshow_schema") == [("9999",)]
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9998'")
    with pytest.raises(StartupError, match="version 9998, newer than this program"):
        migrate(url)


def test_a_program_of_before_this_rule_starts(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that what it reads, Alembic's own table, stays at the version that it knows, and that
    a database of its making gets the other table."""
    migrate_to(url, OLDEST_PROGRAM, monkeypatch)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DROP TABLE openshow_schema")  # which it knows nothing of
    migrate(url)
    assert ask(file, "SELECT version_num FROM openshow_schema") == [(LATEST,)]
    assert ask(file, "SELECT version_num FROM alembic_version") == [(OLDEST_PROGRAM,)]


def test_modules_are_named_by_their_versions() -> None:
    """Proves that a start, which does without Alembic, knows those that Alembic runs."""
    scripts = ScriptDirectory.from_config(versions._config())
    chain = [script.revision for script in scripts.walk_revisions()]
    assert versions._known() == chain[::-1]


def test_a_start_that_finds_nothing_to_do_does_without_alembic(file: Path, url: str) -> None:
    """Proves that it is not even imported, nor what it imports."""
    migrate(url)
    looks = f"import sys; from service.database.migration import migrate; migrate({url!r});"
    program = looks + " sys.exit('alembic' in sys.modules or 'mako' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_each_version_says_which_programs_can_use_it() -> None:
    """Proves that nobody forgets it, and that a version which only adds does not lock out."""
    scripts = ScriptDirectory.from_config(versions._config())
    for script in scripts.walk_revisions():
        if script.revision > "0003":
            assert isinstance(script.module.oldest_program, str), script.path


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("CREATE TABLE alembic_version (version_num VARCHAR(32))", ""),
        ("CREATE TABLE alembic_version AS SELECT 'ab12cd34ef56' AS version_num", "another program"),
        ("CREATE TABLE alembic_version AS SELECT '0001' AS version_num", "another program"),
        ("CREATE TABLE users (id INTEGER)", "a table 'users' that this service has not made"),
        ("CREATE TABLE orders (id INTEGER)", ""),
    ],
)
def test_other_programs_tables_are_kept_off(url: str, file: Path, made: str, says: str) -> None:
    """Proves that another's database is refused in a line that says so, before anything is made."""
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(made)
    before = ask(file, "SELECT sql FROM sqlite_master")
    if not says:
        migrate(url)
        return
    with pytest.raises(StartupError, match=says) as refused:
        migrate(url)
    assert "\n" not in str(refused.value)
    assert "newer than" not in str(refused.value)
    assert ask(file, "SELECT sql FROM sqlite_master") == before


@pytest.mark.parametrize("emptied", ["gone", "empty", "without tables"])
def test_an_empty_database_beside_a_key_file_is_refused(url: str, file: Path, emptied: str) -> None:
    """Proves that accounts that were lost are missed, not silently begun anew."""
    (file.parent / "local.keys").touch()
    if emptied == "empty":
        file.touch()
    elif emptied == "without tables":
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    with pytest.raises(StartupError, match="restore that database from a backup") as refused:
        migrate(url)
    assert "\n" not in str(refused.value)
    assert tables(file) == set()


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_a_log_without_its_database_is_kept(url: str, file: Path, left: str) -> None:
    """Proves that a start while the database is away spares its log, which may hold accounts."""
    migrate(url)
    with contextlib.closing(sqlite3.connect(file)) as held:
        held.execute("INSERT INTO data_keys (epoch, wrapped, created_at) VALUES (7, x'00', 0)")
        held.commit()
        aside = file.rename(file.with_suffix(".aside"))
        if left == "an empty file":
            file.touch()
        with pytest.raises(StartupError, match="put it back") as refused:
            migrate(url)
        assert "\n" not in str(refused.value)
        file.unlink(missing_ok=left == "nothing")
        aside.rename(file)
        assert ask(file, "SELECT epoch FROM data_keys") == [(7,)]


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
    with pytest.raises(StartupError, match="is no database of SQLite") as refused:
        migrate(url)
    assert "\n" not in str(refused.value)


def test_second_factors_of_before_tell_their_epoch(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that version 0003 finds the epoch of every secret there is, and then guards it."""
    migrate_to(url, "0002", monkeypatch)
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


def test_addresses_of_before_are_compared_by_their_a_labels(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that version 0004 gives each account the key of its address; of two that turn out to
    have one address the older keeps it, and nobody is lost."""
    migrate_to(url, "0003", monkeypatch)
    rows = [  # address, key of before, when it was made
        ("Ada@Example.com", "ada@example.com", 9),
        ("Ada@Straße.de", "ada@strasse.de", 1),
        ("ada@bücher.example", "ada@bücher.example", 2),
        ("ADA@xn--bcher-kva.example", "ada@xn--bcher-kva.example", 3),
        ("bob@xn--bcher-kva.example", "bob@xn--bcher-kva.example", 4),
        ("bob@BÜCHER.example", "bob@bücher.example", 5),
        ("jörg@example.com", "jörg@example.com", 6),
    ]
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        for number, row in enumerate(rows):
            hashed = f"$2b${12 if number else 10}$" + "." * 53
            connection.execute(
                "INSERT INTO users (id, email, email_key, created_at, password_hash,"
                f" password_scheme) VALUES (x'0{number}', ?, ?, ?, '{hashed}', 1)",
                row,
            )
    migrate(url)
    assert ask(file, "SELECT email_key FROM users ORDER BY id") == [
        ("ada@example.com",),
        ("ada@xn--strae-oqa.de",),
        ("ada@xn--bcher-kva.example",),
        ("same address as an older account: 03",),
        ("bob@xn--bcher-kva.example",),
        ("same address as an older account: 05",),
        ("jörg@example.com",),
    ]
    assert ask(file, "SELECT cost FROM password_costs ORDER BY cost") == [(10,), (12,)]
