"""An index for what key commands look for: second factors that do not tell their epoch.

There are few or none, among all accounts without a second factor, and a scan of many millions takes
longer than anybody who holds the data keys' turn should. While the index is made, a scan itself,
accounts can be read and not changed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
oldest_program = "0003"

_UNTOLD = sa.text("totp_epoch IS NULL AND totp_sealed IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_users_untold", "users", ["id"], sqlite_where=_UNTOLD, postgresql_where=_UNTOLD
    )
