"""The second factor of an account, and its recovery codes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("users", sa.Column("enrolment_id", sa.LargeBinary(16)))
    op.add_column("users", sa.Column("totp_sealed", sa.LargeBinary))
    op.add_column(
        "users", sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.LargeBinary(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "digest", name="pk_recovery_codes"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_recovery_codes_user_id_users"),
    )
