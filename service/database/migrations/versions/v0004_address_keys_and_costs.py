"""Domains of addresses are compared as A-labels, and the costs of password hashes are noted.

Where two accounts turn out to have one address, the older keeps it. The other can be found by its
address no more; its sessions go on until they end, and its key names it, so that an operator can
find it. Both are logged.
"""

from unicodedata import normalize

import idna
import sqlalchemy as sa
import structlog
from alembic import op

revision = "0004"
down_revision = "0003"
oldest_program = "0003"

log = structlog.get_logger()

_users = sa.table(
    "users",
    sa.column("id", sa.LargeBinary),
    sa.column("email", sa.Text),
    sa.column("email_key", sa.Text),
    sa.column("password_hash", sa.Text),
    sa.column("created_at", sa.BigInteger),
)


def upgrade() -> None:
    op.create_table(
        "password_costs",
        sa.Column("cost", sa.Integer, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("cost", name="pk_password_costs"),
    )
    op.execute(
        "INSERT INTO password_costs SELECT DISTINCT CAST(substr(password_hash, 5, 2) AS INTEGER)"
        " FROM users WHERE password_hash LIKE '$2_$__$%'"
    )
    _compare_domains_as_a_labels()


def _compare_domains_as_a_labels() -> None:
    connection = op.get_bind()
    size = (
        "octet_length(email)"
        if connection.dialect.name == "postgresql"
        else ("length(CAST(email AS BLOB))")
    )
    # An address in ASCII has the key that it had: all others are few.
    rows = connection.execute(
        sa.select(_users.c.id, _users.c.email, _users.c.email_key, _users.c.created_at)
        .where(sa.text(f"{size} <> length(email)"))
        .order_by(_users.c.created_at, _users.c.id)
    ).all()
    for row in rows:
        key = _key(row.email)
        if key is None or key == row.email_key:
            continue
        other = connection.execute(
            sa.select(_users.c.id, _users.c.created_at).where(_users.c.email_key == key)
        ).first()
        if other is None:
            _set_key(row.id, key)
        elif (other.created_at, other.id) < (row.created_at, row.id):
            _give_up(row.id, key)
        else:
            _give_up(other.id, key)
            _set_key(row.id, key)


def _give_up(user_id: bytes, key: str) -> None:
    # No address has a key without an @ and with a blank.
    _set_key(user_id, f"same address as an older account: {user_id.hex()}")
    log.warning("two accounts have one address; the older keeps it", user=user_id.hex())


def _set_key(user_id: bytes, key: str) -> None:
    op.get_bind().execute(sa.update(_users).where(_users.c.id == user_id).values(email_key=key))


def _key(email: str) -> str | None:
    """Make the key as `accounts.emails` does at this version; `None`: it is no address any more."""
    local, _, domain = normalize("NFKC", email.strip()).rpartition("@")
    try:
        host = idna.encode(domain, uts46=True, transitional=False).decode()
    except idna.IDNAError:
        return None
    return normalize("NFKC", normalize("NFKC", local).casefold()) + "@" + host
