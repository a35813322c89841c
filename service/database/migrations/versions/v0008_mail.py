"""Mails have a language, sign-ups can wait for a mail, and former addresses are kept for a while.

Each column is empty, or has a default of the server's, for what programs of before write.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
oldest_program = "0003"


def upgrade() -> None:
    op.add_column("users", sa.Column("locale", sa.Text))
    op.add_column(
        "users",
        sa.Column("awaits_verification", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "former_addresses",
        sa.Column("email_key", sa.Text, nullable=False),
        sa.Column("user_id", sa.LargeBinary(16), nullable=False),
        sa.Column("kept_until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("email_key", name="pk_former_addresses"),
    )
    op.create_index("ix_former_addresses_user_id", "former_addresses", ["user_id"])
