"""The fence and the journal of revocations, by which a Redis that has gone back in time shows."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
oldest_program = "0003"


def upgrade() -> None:
    op.create_table(
        "fences",
        sa.Column("bucket", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("bucket", name="pk_fences"),
    )
    op.create_table(
        "journal",
        sa.Column("bucket", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("whole", sa.Boolean, nullable=False),
        sa.Column("entries", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("bucket", "last", name="pk_journal"),
    )
    op.create_index("ix_journal_at", "journal", ["at"])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner", sa.LargeBinary(16), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
