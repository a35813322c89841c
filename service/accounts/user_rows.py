"""Rows of the table `users`: what is read of them, and the statements that read and write them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, func, insert, select, update

from service.accounts.emails import EmailAddress
from service.accounts.passwords import PasswordHash
from service.clock import moment
from service.database.tables import recovery_codes, users


class User(msgspec.Struct, frozen=True):
    """An account. `version` is raised by each change of its row.

    `sessions_from` is the version from which on sessions count: those that were opened by an older
    row have ended.
    """

    id: bytes
    email: str
    created_at: datetime
    two_fa_enabled: bool = False
    recovery_codes_left: int = 0
    version: int = 0
    disabled_at: datetime | None = None
    sessions_from: int = 0
    password_changed_at: datetime | None = None
    email_verified_at: datetime | None = None
    locale: str | None = None
    awaits_verification: bool = False
    """Made by a sign-up that opened no session; another may take its place until it is verified."""


class Credentials(msgspec.Struct, frozen=True):
    """An account with what its password is checked against.

    `enrolment_id` is that of the second factor; `None`: a password is enough.
    """

    user: User
    password: PasswordHash
    enrolment_id: bytes | None = None


_CODES_LEFT = (
    select(func.count())
    .select_from(recovery_codes)
    .where(recovery_codes.c.user_id == users.c.id)
    .scalar_subquery()
    .label("recovery_codes_left")
)
_SHOWN = (
    users.c.id,
    users.c.email,
    users.c.created_at,
    users.c.two_fa_enabled,
    users.c.version,
    _CODES_LEFT,
    users.c.disabled_at,
    users.c.sessions_from,
    users.c.password_changed_at,
    users.c.email_verified_at,
    users.c.locale,
    users.c.awaits_verification,
)
ADD = insert(users)
SHOWN = select(*_SHOWN)
FIND = select(*_SHOWN, users.c.password_scheme, users.c.password_hash, users.c.enrolment_id).where(
    users.c.email_key == bindparam("key")
)
FIND_BY_ID = select(
    *_SHOWN, users.c.password_scheme, users.c.password_hash, users.c.enrolment_id
).where(users.c.id == bindparam("user_id"))
PAGE = (
    select(*_SHOWN)
    .where(users.c.id > bindparam("after"))
    .order_by(users.c.id)
    .limit(bindparam("most"))
)
VERSIONS = select(users.c.id, users.c.version)
IDS = select(users.c.email_key, users.c.id).where(
    users.c.email_key.in_(bindparam("keys", expanding=True))
)
REPLACE = (
    update(users)
    .where(
        users.c.id == bindparam("user_id"),
        users.c.password_scheme == bindparam("old_scheme"),
        users.c.password_hash == bindparam("old_hash"),
    )
    .values(password_scheme=bindparam("new_scheme"), password_hash=bindparam("new_hash"))
)


def new_row(
    user_id: bytes,
    email: EmailAddress,
    password: PasswordHash,
    created_at: int,
    locale: str | None = None,
    *,
    awaits_verification: bool = False,
) -> dict[str, Any]:
    """Make the values of the row of a new account."""
    return {
        "id": user_id,
        "email": email.as_given,
        "email_key": email.key,
        "password_hash": password.value,
        "password_scheme": password.scheme,
        "two_fa_enabled": False,
        "created_at": created_at,
        "locale": locale,
        "awaits_verification": awaits_verification,
    }


def credentials_of(row: Row[*tuple[Any, ...]]) -> Credentials:
    """Read the account, with its password's hash, in a row that `FIND` or `FIND_BY_ID` gave."""
    password = PasswordHash(row.password_scheme, row.password_hash)
    return Credentials(user_of(row), password, row.enrolment_id)


def user_of(row: Sequence[Any]) -> User:
    """Read the account in a row that `SHOWN`, `FIND` or `FIND_BY_ID` gave, by whatever driver."""
    (
        user_id,
        email,
        created_at,
        two_fa_enabled,
        version,
        codes_left,
        disabled_at,
        sessions_from,
        password_changed_at,
        email_verified_at,
        locale,
        awaits_verification,
        *_,
    ) = row  # as `_SHOWN` has them
    return User(
        id=user_id,
        email=email,
        created_at=moment(created_at),
        two_fa_enabled=bool(two_fa_enabled),
        recovery_codes_left=codes_left,
        version=version,
        disabled_at=_moment(disabled_at),
        sessions_from=sessions_from,
        password_changed_at=_moment(password_changed_at),
        email_verified_at=_moment(email_verified_at),
        locale=locale,
        awaits_verification=bool(awaits_verification),
    )


def _moment(at: int | None) -> datetime | None:
    return None if at is None else moment(at)
