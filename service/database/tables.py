"""The SQL tables as they are now; how they came to be is told by `migrations/versions`.

Types are portable: times are whole milliseconds since 1970 (`service.clock.milliseconds`), ids are
bytes. A change here needs a migration; a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    false,
    text,
)

# Explicit names, so that a later migration can name the constraint it drops: SQLite gives none,
# and PostgreSQL's own differ from everybody else's.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("email", Text, nullable=False),  # as given at signup
    Column("email_key", Text, nullable=False, unique=True),  # what addresses are compared by
    Column("password_hash", Text, nullable=False),
    Column("password_scheme", Integer, nullable=False),  # which pepper is under the hash
    Column("two_fa_enabled", Boolean, nullable=False, server_default=false()),
    Column("enrolment_id", LargeBinary(16)),  # the enrolment that turned 2FA on
    Column("totp_sealed", LargeBinary),  # its secret, sealed by the keyring
    # The epoch in that blob. The constraint keeps a data key from going while a record needs it.
    Column("totp_epoch", Integer, ForeignKey("data_keys.epoch"), index=True),
    Column(
        "version", BigInteger, nullable=False, server_default=text("0")
    ),  # raised by each change
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),  # nobody logs in since then
    # The version from which on sessions count: one that was opened by an older row has ended.
    Column("sessions_from", BigInteger, nullable=False, server_default=text("0")),
    Column("password_changed_at", BigInteger),
    Column("email_verified_at", BigInteger),
    Column("locale", Text),  # the language of mails, as it was at signup; empty: the setting's
    # Made by a sign-up that opened no session: until it is verified, another may take its place.
    Column("awaits_verification", Boolean, nullable=False, server_default=false()),
)

# Seals of programs before version 0003, which key commands look for among all accounts. What
# PostgreSQL is told of it stands in `postgresql`: to name it here loads SQLAlchemy's dialect.
UNTOLD = text("totp_epoch IS NULL AND totp_sealed IS NOT NULL")
ix_users_untold = Index("ix_users_untold", users.c.id, sqlite_where=UNTOLD)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", LargeBinary(16), ForeignKey("users.id"), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
)

former_addresses = Table(  # for as long as a change of address can be undone, nobody else gets it
    "former_addresses",
    metadata,
    Column("email_key", Text, primary_key=True),
    Column("user_id", LargeBinary(16), nullable=False, index=True),
    Column("kept_until", BigInteger, nullable=False),
)

identities = Table(  # of people at OpenID providers: known by issuer and subject, not by an address
    "identities",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column(
        "user_id",
        LargeBinary(16),
        ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("provider", Text, nullable=False),  # its id in the settings when it was linked
    Column("created_at", BigInteger, nullable=False),
)

password_costs = Table(  # that a hash in `users` has, or had: every no takes as long as the highest
    "password_costs",
    metadata,
    Column("cost", Integer, primary_key=True, autoincrement=False),
)

data_keys = Table(  # wrapped by the KMS provider
    "data_keys",
    metadata,
    # Epochs are chosen by the keyring; a database that numbers them would hide a lost row.
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Seals from then on: a while after all processes could have read it.
    Column("active_from", BigInteger, nullable=False, server_default=text("0")),
)

sealed_keys = Table(  # signing keys, MAC keys, peppers: sealed under a data key
    "sealed_keys",
    metadata,
    Column("use", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("public", LargeBinary),  # of a signing key: verifies also while nothing is open
    Column("created_at", BigInteger, nullable=False),
    Column("active_from", BigInteger, nullable=False, server_default=text("0")),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", LargeBinary(8), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # SHA-256 of its text
    Column("scopes", Text, nullable=False),  # with blanks between
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),  # minutes behind
)

relying_parties = Table(  # whose apps are told when sessions end; each client id stays for good
    "relying_parties",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("id", LargeBinary(8), nullable=False),  # of the registration
    Column("place", Integer, unique=True),  # of as many as there may be; empty: it has ended
    Column("backchannel_logout_uri", Text, nullable=False),  # '' once it has ended
    Column("session_required", Boolean, nullable=False),
    Column("since", BigInteger, nullable=False),  # by Redis' clock
    Column("created_at", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
)

audit = Table(  # audit events, copied from Redis by the sink `sql`
    "audit",
    metadata,
    Column("id", Text, primary_key=True),  # bucket, ms and counter, as `events list` prints it
    Column("bucket", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("user", Text, nullable=False),  # in hex; '' if about nobody
    Column("document", Text, nullable=False),  # the whole event as JSON, of which digests are made
    Index("ix_audit_bucket_at_counter", "bucket", "at", "counter"),
    Index("ix_audit_user_at", "user", "at"),
)

audit_batches = Table(  # how they were copied, each batch chained to the one before
    "audit_batches",
    metadata,
    Column("bucket", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
    Column("before", LargeBinary(32), nullable=False),
    Column("first", Text, nullable=False),
    Column("last", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("kid", Text, nullable=False),
    Column("signature", Text, nullable=False),
)

fences = Table(  # the last entry of each bucket's feed: a Redis that has less has gone back in time
    "fences",
    metadata,
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

journal = Table(  # what feeds have said, for the life of a session: what has ended stays so
    "journal",
    metadata,
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, primary_key=True, autoincrement=False),  # number of the last entry
    Column("first", BigInteger, nullable=False),
    Column("last_id", Text, nullable=False),  # as Redis spells it
    Column("at", BigInteger, nullable=False),  # when the last was added
    Column("whole", Boolean, nullable=False),  # follows the batch before without a gap
    Column("entries", LargeBinary, nullable=False),  # numbers, ids of users and of sessions
    Index("ix_journal_at", "at"),
)

leases = Table(  # which process does what one does for all, and until when
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", LargeBinary(16), nullable=False),
    Column("until", BigInteger, nullable=False),  # by the database's clock
)

schema = Table(  # the version of all these; see `versions`. Made as Alembic makes such a table.
    "openshow_schema",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="openshow_schema_pkc"),
)
