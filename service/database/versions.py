"""Reads which version of the schema a database has, and whether this program can serve from it.

Versions are Alembic's, by number. Two tables tell them::

    openshow_schema   the version that the database is at
    alembic_version   the oldest version that a program must know to serve from it

A migration that only adds (expand) leaves the second as it is, so pods of before it go on, and
start again; one that takes something away (contract) raises it. Each module in
`migrations/versions` says which with `oldest_program`. Programs of before this rule read
`alembic_version` alone.

Alembic is imported once there is something to migrate: that is a tenth of the start of a process,
most of which find nothing to do.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert, inspect, select

from service.database.tables import metadata, schema
from service.errors import StartupError

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS = Path(__file__).parent / "migrations"

_alembic_version = Table(  # as Alembic makes it
    "alembic_version",
    MetaData(naming_convention={"pk": "alembic_version_pkc"}),
    Column("version_num", String(32), primary_key=True),
)

_FIRST_TABLES = ("users", "data_keys", "sealed_keys")  # there from version 0001 on


class _Found(msgspec.Struct, frozen=True):
    """What was found in a database: its tables, its version, the oldest program's."""

    tables: frozenset[str]
    version: str | None
    oldest_program: str | None


def is_behind(connection: Connection) -> bool:
    """Tell whether versions are missing. Reads only; takes no lock that anybody waits for.

    Raises:
        StartupError: this program must not serve from the database; says what to do.
    """
    found, known = _look(connection), _known()
    _refuse_foreign(found, known)
    if found.version is None:
        return True
    if found.version not in known:  # newer, by migrations that only added
        return False
    return found.version != known[-1] or schema.name not in found.tables


def is_new(connection: Connection) -> bool:
    """Tell whether the database holds nothing of ours yet."""
    return _look(connection).version is None


def upgrade(connection: Connection) -> None:
    """Run the versions that are missing, inside the caller's transaction."""
    if not is_behind(connection):  # another process was first
        return
    from alembic import command

    found = _look(connection)
    if schema.name not in found.tables:
        schema.create(connection)
        if found.version:  # migrated by a program of before this table
            connection.execute(insert(schema), {"version_num": found.version})
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    _alembic_version.create(connection, checkfirst=True)
    connection.execute(delete(_alembic_version))
    connection.execute(insert(_alembic_version), {"version_num": oldest_program()})


def oldest_program() -> str:
    """Return the oldest version that a program must know to serve from a database at the newest."""
    from alembic.script import ScriptDirectory

    known = _known()
    scripts = ScriptDirectory.from_config(_config())
    said = [
        getattr(scripts.get_revision(version).module, "oldest_program", version)
        for version in known
    ]
    return max(said, key=known.index)


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _known() -> Sequence[str]:
    """Return the versions that this program has, oldest first, by the names of their modules."""
    modules = (_SCRIPTS / "versions").glob("v[0-9]*_*.py")
    return sorted(module.name[1:].partition("_")[0] for module in modules)


def _look(connection: Connection) -> _Found:
    tables = frozenset(inspect(connection).get_table_names())
    oldest = _only(connection, _alembic_version, tables)
    return _Found(tables, _only(connection, schema, tables) or oldest, oldest)


def _only(connection: Connection, table: Table, tables: frozenset[str]) -> str | None:
    if table.name not in tables:
        return None
    versions = connection.execute(select(table.c.version_num)).scalars().all()
    return ", ".join(sorted(versions)) or None


def _refuse_foreign(found: _Found, known: Sequence[str]) -> None:
    """Refuse a database that other programs, or newer ones of ours, have made."""
    ours = [name for name in _FIRST_TABLES if name in found.tables]
    oldest = found.oldest_program
    if oldest and len(ours) < len(_FIRST_TABLES):
        raise StartupError(
            f"SERVICE_DATABASE_URL: the database belongs to another program (its table"
            f" alembic_version says {oldest!r}, and tables of this service are missing):"
            " give this service a database of its own"
        )
    if oldest and oldest not in known:
        raise StartupError(
            f"SERVICE_DATABASE_URL: the database is at version {oldest}, newer than this"
            " program; start the newer program"
        )
    taken = sorted(found.tables & set(metadata.tables))
    if not oldest and taken:
        raise StartupError(
            f"SERVICE_DATABASE_URL: the database holds a table {taken[0]!r} that this service has"
            " not made: give it a database of its own, or restore the whole of a backup"
        )
