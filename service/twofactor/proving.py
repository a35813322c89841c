"""Proving a second factor in a session that lives: a code is used up, and nothing else changes."""

from service.accounts.second_factors import SecondFactor, SecondFactors
from service.errors import InvalidCode, NotEnabled
from service.mail.notices import NO_NOTICES, Notices
from service.rate_limits import RateLimits
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication
from service.twofactor.codes import CodeReader, RecoveryCode, TotpCode
from service.twofactor.limits import limited_codes
from service.twofactor.scripts import clock_ms, prove, publish, spend


class SecondFactorProofs:
    """Judges codes as proofs of identity. May raise `StoreUnavailable` or `SealBroken`."""

    def __init__(
        self,
        redis: RedisClient,
        factors: SecondFactors,
        codes: CodeReader,
        rate_limits: RateLimits,
        notices: Notices = NO_NOTICES,
    ) -> None:
        self._redis = redis
        self._factors = factors
        self._codes = codes
        self._rate_limits = rate_limits
        self._notices = notices

    async def prove(self, user_id: bytes, code: str, origin: RequestOrigin) -> Authentication:
        """Use a TOTP or a recovery code up, and return which of the two it was.

        Raises:
            NotEnabled, InvalidCode, TooManyAttempts
        """
        factor = await self._factors.get(user_id)
        if factor is None:
            raise NotEnabled
        async with limited_codes(self._rate_limits, user_id, code, "session"):
            match self._codes.read(user_id, factor, code):
                case TotpCode(step):
                    await self._use_step(user_id, factor, step, origin)
                    return Authentication.TOTP
                case RecoveryCode(digests):
                    digest = await self._factors.find_code(user_id, digests)
                    if digest is not None:
                        await self._burn(user_id, factor, digest, origin)
                        return Authentication.RECOVERY_CODE
            raise InvalidCode

    async def _use_step(
        self, user_id: bytes, factor: SecondFactor, step: int, origin: RequestOrigin
    ) -> None:
        if not await prove(
            self._redis,
            user_id,
            origin,
            watermark_key=bucket(user_id).totp + factor.enrolment_id,
            code_step=step,
            clock=clock_ms(),
        ):
            raise InvalidCode

    async def _burn(
        self, user_id: bytes, factor: SecondFactor, digest: bytes, origin: RequestOrigin
    ) -> None:
        """Use a recovery code up; of those who race for it, one does."""
        await spend(
            self._redis,
            user_id,
            origin,
            watermark_key=bucket(user_id).totp + factor.enrolment_id,
            code_step="",
            clock=clock_ms(),
        )
        version = await self._factors.burn(user_id, factor.enrolment_id, digest)
        if version is None:
            raise InvalidCode
        await publish(self._redis, user_id, version, "twoFA.recoveryCodeUsed", origin)
        self._notices.tell("recovery_code_used", user_id, origin)
