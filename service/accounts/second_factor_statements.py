"""The statements on users and recovery codes by which second factors are read and changed."""

from sqlalchemy import bindparam, delete, func, insert, select, update

from service.database.tables import recovery_codes, users

GET = select(
    users.c.enrolment_id,
    users.c.totp_sealed,
    users.c.version,
    users.c.sessions_from,
    users.c.disabled_at,
).where(users.c.id == bindparam("user_id"), users.c.two_fa_enabled)
ENABLE = (
    update(users)
    .where(users.c.id == bindparam("user_id"), ~users.c.two_fa_enabled)
    .values(
        two_fa_enabled=True,
        enrolment_id=bindparam("enrolment"),
        totp_sealed=bindparam("sealed"),
        totp_epoch=bindparam("epoch"),
        version=users.c.version + bindparam("step"),
    )
)
DISABLE = (
    update(users)
    .where(users.c.id == bindparam("user_id"), users.c.enrolment_id == bindparam("enrolment"))
    .values(
        two_fa_enabled=False,
        enrolment_id=None,
        totp_sealed=None,
        totp_epoch=None,
        version=users.c.version + bindparam("step"),
    )
)
TOUCH = (
    update(users)
    .where(users.c.id == bindparam("user_id"), users.c.enrolment_id == bindparam("enrolment"))
    .values(version=users.c.version + bindparam("step"))
)
VERSION = select(users.c.version, users.c.enrolment_id).where(users.c.id == bindparam("user_id"))
SEALED = (
    select(users.c.id, users.c.enrolment_id, users.c.totp_sealed)
    .where(
        users.c.id > bindparam("after"),
        users.c.totp_sealed.is_not(None),
        func.coalesce(users.c.totp_epoch, 0) != bindparam("epoch"),
    )
    .order_by(users.c.id)
    .limit(bindparam("most"))
)
RESEAL = (
    update(users)
    # The whole of the old one: of two who reseal it, or change it otherwise, one does.
    .where(users.c.id == bindparam("user_id"), users.c.totp_sealed == bindparam("old"))
    .values(totp_sealed=bindparam("new"), totp_epoch=bindparam("epoch"))
)
EPOCHS = (
    select(users.c.totp_epoch, func.count())
    .where(users.c.totp_epoch.is_not(None))
    .group_by(users.c.totp_epoch)
)
WITHOUT_EPOCH = select(func.count()).where(
    users.c.totp_epoch.is_(None), users.c.totp_sealed.is_not(None)
)
HAS = select(recovery_codes.c.digest).where(
    recovery_codes.c.user_id == bindparam("user_id"),
    recovery_codes.c.digest.in_(bindparam("digests", expanding=True)),
)
BURN = delete(recovery_codes).where(
    recovery_codes.c.user_id == bindparam("user_id"),
    recovery_codes.c.digest == bindparam("digest"),
)
FORGET = delete(recovery_codes).where(recovery_codes.c.user_id == bindparam("user_id"))
ADD = insert(recovery_codes)
