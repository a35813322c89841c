"""Changes of an enabled second factor: turning it off, fresh recovery codes."""

from collections.abc import Sequence

from service.accounts.second_factors import SecondFactor, SecondFactors
from service.errors import InvalidCode, NotEnabled
from service.mail.notices import NO_NOTICES, Notices
from service.rate_limits import RateLimits
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.twofactor import recovery_codes
from service.twofactor.codes import CodeReader, RecoveryCode, TotpCode
from service.twofactor.limits import limited_codes
from service.twofactor.recovery_codes import RecoveryDigests
from service.twofactor.scripts import ChangeEvent, clock_ms, publish, spend


class SecondFactorManagement:
    """Changes that a code allows. Both methods may raise `StoreUnavailable` or `SealBroken`.

    `keep` is the session that asks, if all others end with the change.
    """

    def __init__(
        self,
        redis: RedisClient,
        factors: SecondFactors,
        codes: CodeReader,
        digests: RecoveryDigests,
        rate_limits: RateLimits,
        cut_offs: CutOffs,
        notices: Notices = NO_NOTICES,
    ) -> None:
        self._redis = redis
        self._factors = factors
        self._codes = codes
        self._digests = digests
        self._rate_limits = rate_limits
        self._cut_offs = cut_offs
        self._notices = notices

    async def disable(
        self, user_id: bytes, code: str, origin: RequestOrigin, *, keep: bytes | None = None
    ) -> None:
        """Turn the second factor off, with a TOTP or a recovery code. Open challenges end with it.

        Raises:
            NotEnabled, InvalidCode, TooManyAttempts
        """
        factor = await self._enabled(user_id)
        async with limited_codes(self._rate_limits, user_id, code, "session"):
            await self._spend(user_id, factor, code, origin, recovery_too=True)
        event: ChangeEvent = "twoFA.disabled"
        if keep is not None:
            await self._cut_offs.end_others(user_id, origin, keep, reason=event)
        version = await self._factors.disable(user_id, factor.enrolment_id)
        if version is None:  # turned off by somebody faster
            raise NotEnabled
        await self._tell(user_id, version, event, origin, keep)
        self._notices.tell("second_factor_off", user_id, origin)

    async def renew_recovery_codes(
        self, user_id: bytes, code: str, origin: RequestOrigin, *, keep: bytes | None = None
    ) -> Sequence[str]:
        """Replace all recovery codes, with a TOTP code. Return the new ones.

        Raises:
            NotEnabled, InvalidCode, TooManyAttempts
        """
        factor = await self._enabled(user_id)
        async with limited_codes(self._rate_limits, user_id, code, "session"):
            await self._spend(user_id, factor, code, origin, recovery_too=False)
        codes = recovery_codes.new_codes()
        digests = [self._digests.of(user_id, factor.enrolment_id, minted) for minted in codes]
        event: ChangeEvent = "twoFA.recoveryCodesRenewed"
        if keep is not None:
            await self._cut_offs.end_others(user_id, origin, keep, reason=event)
        version = await self._factors.replace_codes(user_id, factor.enrolment_id, digests)
        if version is None:
            raise NotEnabled
        await self._tell(user_id, version, event, origin, keep)
        return [recovery_codes.spell(minted) for minted in codes]

    async def _tell(
        self,
        user_id: bytes,
        version: int,
        event: ChangeEvent,
        origin: RequestOrigin,
        keep: bytes | None,
    ) -> None:
        """Publish the row's new version, and end all sessions but the one to keep, if there is one.

        The script that ends them publishes it, so nobody is let in by the old row after that.
        """
        if keep is not None:
            await self._cut_offs.end_others(
                user_id, origin, keep, reason=event, row_version=version
            )
        await publish(self._redis, user_id, version if keep is None else None, event, origin)

    async def _enabled(self, user_id: bytes) -> SecondFactor:
        factor = await self._factors.get(user_id)
        if factor is None:
            raise NotEnabled
        return factor

    async def _spend(
        self,
        user_id: bytes,
        factor: SecondFactor,
        code: str,
        origin: RequestOrigin,
        *,
        recovery_too: bool,
    ) -> None:
        """Use a code up, or raise `InvalidCode`."""
        match self._codes.read(user_id, factor, code):
            case TotpCode(step):
                if not await self._let_spend(user_id, factor, step, origin):
                    raise InvalidCode
            case RecoveryCode(digests) if recovery_too:
                digest = await self._factors.find_code(user_id, digests)
                if digest is None:
                    raise InvalidCode
                await self._let_spend(user_id, factor, None, origin)
                if await self._factors.burn(user_id, factor.enrolment_id, digest) is None:
                    raise InvalidCode
                await publish(self._redis, user_id, None, "twoFA.recoveryCodeUsed", origin)
                self._notices.tell("recovery_code_used", user_id, origin)
            case _:
                raise InvalidCode

    async def _let_spend(
        self, user_id: bytes, factor: SecondFactor, step: int | None, origin: RequestOrigin
    ) -> bool:
        return bool(
            await spend(
                self._redis,
                user_id,
                origin,
                watermark_key=bucket(user_id).totp + factor.enrolment_id,
                code_step="" if step is None else step,
                clock=clock_ms(),
            )
        )
