"""Relying parties: whose apps are told when sessions end, and where."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
oldest_program = "0003"


def upgrade() -> None:
    op.create_table(
        "relying_parties",
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("id", sa.LargeBinary(8), nullable=False),
        sa.Column("place", sa.Integer),
        sa.Column("backchannel_logout_uri", sa.Text, nullable=False),
        sa.Column("session_required", sa.Boolean, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("removed_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("client_id", name="pk_relying_parties"),
        sa.UniqueConstraint("place", name="uq_relying_parties_place"),
    )
