"""The second factor of an account, as the user store has it. Each change is one transaction.

Every change raises the user row's `version`, under which pods keep the row in memory, by a random
step (`versions.py`). How pods hear of it: `sessions/row_version.py`.

Every change begins with that row: so changes of one user take turns, and never wait for each other
crosswise.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts import second_factor_statements as statements
from service.accounts.versions import step
from service.database.engine import store_errors
from service.errors import InvalidAccessToken, StoreUnavailable


class SecondFactor(msgspec.Struct, frozen=True):
    """An enabled second factor: which enrolment made it, and its TOTP secret, sealed.

    `totp_epoch` is that of the seal, written along so that no data key goes while it is needed.
    `version` is that of the user row that it was read from; since `sessions_from` sessions and
    logins of it count, and none while the account is `disabled`.
    """

    enrolment_id: bytes
    totp_sealed: bytes
    totp_epoch: int | None = None
    version: int = 0
    sessions_from: int = 0
    disabled: bool = False


class SealedSecret(msgspec.Struct, frozen=True):
    """A secret as it is stored, and whose it is."""

    user_id: bytes
    enrolment_id: bytes
    sealed: bytes


class SecondFactors:
    """The second factors in the database behind `engine`. All may raise `StoreUnavailable`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, user_id: bytes) -> SecondFactor | None:
        """Read the enabled second factor of this user; `None` means that there is none."""
        with store_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(statements.GET, {"user_id": user_id})).first()
        if row is None:
            return None
        return SecondFactor(
            row.enrolment_id,
            row.totp_sealed,
            version=row.version,
            sessions_from=row.sessions_from,
            disabled=row.disabled_at is not None,
        )

    async def enable(
        self, user_id: bytes, factor: SecondFactor, digests: Sequence[bytes]
    ) -> int | None:
        """Turn the second factor on. Return the row's version; `None`: another enrolment is on.

        Repeating it for the same enrolment changes nothing and gives the same answer.

        Raises:
            InvalidAccessToken: there is no such user any more.
        """
        values = {
            "user_id": user_id,
            "enrolment": factor.enrolment_id,
            "sealed": factor.totp_sealed,
            "epoch": factor.totp_epoch,
            "step": step(),
        }
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    if (await connection.execute(statements.ENABLE, values)).rowcount == 1:
                        await connection.execute(statements.FORGET, {"user_id": user_id})
                        await connection.execute(statements.ADD, _rows(user_id, digests))
                    row = (
                        await connection.execute(statements.VERSION, {"user_id": user_id})
                    ).first()
        except IntegrityError:  # of `totp_epoch`: this process has not seen it go
            raise StoreUnavailable("the secret was sealed under a retired data key") from None
        if row is None:  # the account has been deleted meanwhile
            raise InvalidAccessToken
        return row.version if row.enrolment_id == factor.enrolment_id else None

    async def disable(self, user_id: bytes, enrolment_id: bytes) -> int | None:
        """Turn this enrolment off, recovery codes included.

        Returns the row's version, or `None`: it was not on.
        """
        change = {"user_id": user_id, "enrolment": enrolment_id, "step": step()}
        with store_errors():
            async with self._engine.begin() as connection:
                if (await connection.execute(statements.DISABLE, change)).rowcount == 0:
                    return None
                await connection.execute(statements.FORGET, {"user_id": user_id})
                row = (await connection.execute(statements.VERSION, {"user_id": user_id})).one()
        version: int = row.version
        return version

    async def replace_codes(
        self, user_id: bytes, enrolment_id: bytes, digests: Sequence[bytes]
    ) -> int | None:
        """Replace all recovery codes of this enrolment.

        Returns the row's version, or `None`: it is not on.
        """
        change = {"user_id": user_id, "enrolment": enrolment_id, "step": step()}
        with store_errors():
            async with self._engine.begin() as connection:
                if (await connection.execute(statements.TOUCH, change)).rowcount == 0:
                    return None
                await connection.execute(statements.FORGET, {"user_id": user_id})
                await connection.execute(statements.ADD, _rows(user_id, digests))
                row = (await connection.execute(statements.VERSION, {"user_id": user_id})).one()
        version: int = row.version
        return version

    async def sealed_under_others(self, epoch: int, after: bytes, most: int) -> list[SealedSecret]:
        """Read secrets that are not sealed under `epoch`, ordered by user id, from that on."""
        values = {"epoch": epoch, "after": after, "most": most}
        with store_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(statements.SEALED, values)
                return [SealedSecret(*row) for row in rows]

    async def reseal(self, secrets: Sequence[tuple[SealedSecret, bytes]], epoch: int) -> None:
        """Replace sealed secrets by new ones, all of `epoch`, where the old ones still stand.

        The row's version stays: what pods keep of it in memory has not changed.
        """
        changes = [
            {"user_id": secret.user_id, "old": secret.sealed, "new": new, "epoch": epoch}
            for secret, new in secrets
        ]
        if changes:
            with store_errors():
                async with self._engine.begin() as connection:
                    await connection.execute(statements.RESEAL, changes)

    async def epochs(self) -> dict[int, int]:
        """Count the secrets sealed under each epoch; under 0 those whose row does not name it."""
        with store_errors():
            async with self._engine.connect() as connection:
                counts = {row[0]: row[1] for row in await connection.execute(statements.EPOCHS)}
                without_epoch = (await connection.execute(statements.WITHOUT_EPOCH)).scalar_one()
        return counts | ({0: without_epoch} if without_epoch else {})

    async def find_code(self, user_id: bytes, digests: Sequence[bytes]) -> bytes | None:
        """Find which of these digests a recovery code has. Only `burn` decides who may use it."""
        with store_errors():
            async with self._engine.connect() as connection:
                found = await connection.execute(
                    statements.HAS, {"user_id": user_id, "digests": list(digests)}
                )
                row = found.first()
        return row.digest if row else None

    async def burn(self, user_id: bytes, enrolment_id: bytes, digest: bytes) -> int | None:
        """Use a recovery code up.

        Returns the row's version, or `None`: there is no such code, or not any more.
        """
        with store_errors():
            async with self._engine.begin() as connection:
                change = {"user_id": user_id, "enrolment": enrolment_id, "step": step()}
                if (await connection.execute(statements.TOUCH, change)).rowcount == 0:
                    return None
                code = {"user_id": user_id, "digest": digest}
                if (await connection.execute(statements.BURN, code)).rowcount == 0:
                    await connection.rollback()
                    return None
                row = (await connection.execute(statements.VERSION, {"user_id": user_id})).one()
        version: int = row.version
        return version


def _rows(user_id: bytes, digests: Sequence[bytes]) -> list[dict[str, bytes]]:
    return [{"user_id": user_id, "digest": digest} for digest in digests]
