"""Columns for when a key begins to be used, for public keys, and for the epoch of a record."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for table in ("data_keys", "sealed_keys"):
        active_from = sa.Column(
            "active_from", sa.BigInteger, nullable=False, server_default=sa.text("0")
        )
        op.add_column(table, active_from)
    op.add_column("sealed_keys", sa.Column("public", sa.LargeBinary))
    # In words, because Alembic would copy the whole table on SQLite for the sake of the constraint.
    op.execute(
        "ALTER TABLE users ADD COLUMN totp_epoch INTEGER"
        " CONSTRAINT fk_users_totp_epoch_data_keys REFERENCES data_keys (epoch)"
    )
    op.create_index("ix_users_totp_epoch", "users", ["totp_epoch"])
    # Before this version there was one epoch.
    op.execute("UPDATE users SET totp_epoch = 1 WHERE totp_sealed IS NOT NULL")
