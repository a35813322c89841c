"""People may log in at OpenID providers: an account has the identities that are linked to it.

They go with the account, also where a program of before this table deletes it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
oldest_program = "0003"


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("user_id", sa.LargeBinary(16), nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_identities"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_identities_user_id_users", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])
