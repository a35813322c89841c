"""Accounts can be disabled, and a change of an account can end the sessions from before it.

`sessions_from` is the version of the row from which on sessions count: those that were opened by
an older row have ended. The other columns are times, empty where it has not happened.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
oldest_program = "0003"


def upgrade() -> None:
    op.add_column("users", sa.Column("disabled_at", sa.BigInteger))
    op.add_column(
        "users",
        sa.Column("sessions_from", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.add_column("users", sa.Column("password_changed_at", sa.BigInteger))
    op.add_column("users", sa.Column("email_verified_at", sa.BigInteger))
