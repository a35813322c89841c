"""Audit events copied from Redis, and the batches in which they were, for the sink `sql`."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
oldest_program = "0003"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_bucket_at_counter", "audit", ["bucket", "at", "counter"])
    op.create_index("ix_audit_user_at", "audit", ["user", "at"])
    op.create_table(
        "audit_batches",
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("before", sa.LargeBinary(32), nullable=False),
        sa.Column("first", sa.Text, nullable=False),
        sa.Column("last", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("bucket", "number", "digest", name="pk_audit_batches"),
    )
