"""The second step of a login: answering the challenge with a code."""

from functools import partial

import msgspec

from service.accounts.second_factors import SecondFactor, SecondFactors
from service.accounts.user_rows import Credentials
from service.accounts.users import Users
from service.authentication.opening import UpstreamSessionOpening
from service.authentication.password import LoggedIn
from service.authentication.sign_in_notices import SignInNotices
from service.errors import ChallengeFailed, ChallengeNotFound, ServiceError
from service.mail.notices import NO_NOTICES, Notices
from service.rate_limits import RateLimits
from service.redis.client import RedisClient
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions
from service.sessions.upstream import UpstreamSessions
from service.twofactor.challenges import Challenge, Challenges
from service.twofactor.codes import CodeReader, RecoveryCode, TotpCode
from service.twofactor.limits import limited_codes
from service.twofactor.scripts import publish


class SecondFactorAuthentication:
    """Login by the answer to a challenge. May raise `StoreUnavailable` or `SealBroken`."""

    def __init__(
        self,
        redis: RedisClient,
        users: Users,
        factors: SecondFactors,
        challenges: Challenges,
        rate_limits: RateLimits,
        sessions: Sessions,
        codes: CodeReader,
        upstream: UpstreamSessions,
        notices: Notices = NO_NOTICES,
    ) -> None:
        self._redis = redis
        self._users = users
        self._factors = factors
        self._challenges = challenges
        self._rate_limits = rate_limits
        self._opening = UpstreamSessionOpening(
            users, sessions, upstream, SignInNotices(redis, notices)
        )
        self._codes = codes
        self._notices = notices

    async def log_in(
        self, challenge_id: str, code: str, origin: RequestOrigin, resource: str | None = None
    ) -> LoggedIn:
        """Answer a challenge with a TOTP or a recovery code, and open the session.

        Its access tokens are for `resource`; `None`: for that of the first step, if it named one.

        Raises:
            InvalidTarget, ChallengeNotFound, ChallengeFailed, TooManyAttempts
        """
        self._opening.check_target(resource)
        challenge = await self._challenges.find(challenge_id)
        if resource is not None:
            challenge = msgspec.structs.replace(challenge, audience=resource)
        self._opening.check_target(challenge.audience)
        try:
            return await self._answer(challenge, code, origin)
        except ServiceError as error:
            error.about(challenge.user_id)
            raise

    async def _answer(self, challenge: Challenge, code: str, origin: RequestOrigin) -> LoggedIn:
        """Answer a challenge that was found. Raises as `log_in`."""
        factor = await self._factors.get(challenge.user_id)
        if factor is None or factor.enrolment_id != challenge.enrolment_id:
            raise ChallengeNotFound  # the second factor was turned off, or replaced
        if factor.disabled or factor.sessions_from > challenge.row_version:
            raise ChallengeNotFound  # so have the sessions of the row by which it was issued
        async with limited_codes(self._rate_limits, challenge.user_id, code, "login"):
            authentication, version = await self._pass(challenge, factor, code, origin)
        read = await self._users.credentials(challenge.user_id)
        if read is None or not _is_open(challenge, read):
            raise ChallengeNotFound
        is_open, audience = partial(_is_open, challenge), challenge.audience
        if challenge.login is not None:
            opened = await self._opening.open_upstream(
                challenge.login, read, version, is_open, authentication, origin, audience=audience
            )
        else:
            opened = await self._opening.open(
                read, version, is_open, authentication, origin, audience=audience
            )
        if opened is None:
            raise ChallengeNotFound
        return LoggedIn(*opened)

    async def _pass(
        self, challenge: Challenge, factor: SecondFactor, code: str, origin: RequestOrigin
    ) -> tuple[Authentication, int]:
        """Use the challenge and the code up.

        Returns how the person has authenticated, and the version of the user row by which that was
        right.
        """
        first = Authentication.FEDERATED if challenge.login else Authentication.PASSWORD
        match self._codes.read(challenge.user_id, factor, code):
            case TotpCode(step):
                if await self._challenges.answer(challenge, "totp", step, origin):
                    return first | Authentication.TOTP, factor.version
            case RecoveryCode(digests) if digest := await self._factors.find_code(
                challenge.user_id, digests
            ):
                if await self._challenges.answer(challenge, "recovery", None, origin):
                    version = await self._burn(challenge, digest, origin)
                    return first | Authentication.RECOVERY_CODE, version
            case _:
                await self._challenges.answer(challenge, "wrong", None, origin)
        raise ChallengeFailed

    async def _burn(self, challenge: Challenge, digest: bytes, origin: RequestOrigin) -> int:
        """Use a recovery code up; of those who race for it, one does. Return the row's version."""
        user_id = challenge.user_id
        version = await self._factors.burn(user_id, challenge.enrolment_id, digest)
        if version is None:
            raise ChallengeFailed
        await publish(self._redis, user_id, version, "twoFA.recoveryCodeUsed", origin)
        self._notices.tell("recovery_code_used", user_id, origin)
        return version


def _is_open(challenge: Challenge, now: Credentials) -> bool:
    """Tell whether a challenge is still one of this account, as it is now."""
    return (
        now.enrolment_id == challenge.enrolment_id
        and now.user.disabled_at is None
        and now.user.sessions_from <= challenge.row_version
    )
