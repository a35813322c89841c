"""Alembic's environment: runs missing versions on the connection and transaction it is given."""

from alembic import context

from service.database.tables import metadata, schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=schema.name,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
