"""Turns the second factor on: enable, then verify.

The user row is written first, keyed by the enrolment, and only then is the pending secret consumed.
Killed anywhere between, the same call again ends in the same state, with the same recovery codes.
"""

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.accounts.second_factors import SecondFactor, SecondFactors
from service.accounts.user_rows import User
from service.clock import Clock
from service.errors import AlreadyEnabled, EnrollmentNotFound, InvalidCode
from service.keyring.envelope import Keyring, epoch_of
from service.mail.notices import NO_NOTICES, Notices
from service.rate_limits import RateLimits
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.twofactor import recovery_codes, totp
from service.twofactor.codes import seal_secret
from service.twofactor.limits import limited_codes
from service.twofactor.pending import Enrolment, PendingEnrolments
from service.twofactor.recovery_codes import RecoveryDigests

_TEMP_SECRET_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Begun(msgspec.Struct, frozen=True):
    """What a person needs to set their authenticator app up. The URI holds the secret."""

    enrolment_id: bytes
    otpauth_url: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Begun(enrolment_id={self.enrolment_id.hex()})"


class Enrolments:
    """The use cases of enrolment. Any may raise `StoreUnavailable` or `SealBroken`."""

    def __init__(
        self,
        pending: PendingEnrolments,
        factors: SecondFactors,
        keyring: Keyring,
        digests: RecoveryDigests,
        rate_limits: RateLimits,
        cut_offs: CutOffs,
        *,
        app_name: str,
        clock: Clock,
        totp_ahead: bool,
        notices: Notices = NO_NOTICES,
    ) -> None:
        self._pending = pending
        self._factors = factors
        self._keyring = keyring
        self._digests = digests
        self._rate_limits = rate_limits
        self._cut_offs = cut_offs
        self._app_name = app_name
        self._clock = clock
        self._totp_ahead = totp_ahead
        self._notices = notices

    async def begin(self, user: User, origin: RequestOrigin, caller: bytes = b"") -> Begun:
        """Mint a secret and keep it sealed until a code confirms it. Replaces the one before.

        `caller` is the session that asks, if it is not known yet to live: that is checked in the
        same step. `user` is as stored.

        Raises:
            InvalidAccessToken: the session has ended.
            AlreadyEnabled, TooManyAttempts
        """
        if user.two_fa_enabled:
            raise AlreadyEnabled
        enrolment, expires_at = await self._pending.begin(
            user.id,
            origin,
            caller=caller,
            since=user.sessions_from,
            counter=self._rate_limits.of_calls(user.id, "enable"),
        )
        uri = totp.provisioning_uri(enrolment.secret, self._app_name, user.email)
        return Begun(enrolment.id, uri, expires_at)

    async def verify(
        self,
        user_id: bytes,
        temp_secret_id: str,
        code: str,
        origin: RequestOrigin,
        *,
        keep: bytes | None = None,
    ) -> Sequence[str]:
        """Turn the second factor on, confirmed by a code, and return the recovery codes.

        `temp_secret_id` is the enrolment's id in hex, or whatever was sent for it. `keep` is the
        session that asks, if all others end with the change.

        Raises:
            AlreadyEnabled: wins over all others.
            EnrollmentNotFound, InvalidCode, TooManyAttempts
        """
        enrolment_id = _enrolment_id(temp_secret_id)
        factor = await self._factors.get(user_id)
        if factor is not None and factor.enrolment_id != enrolment_id:
            raise AlreadyEnabled
        enrolment = await self._pending.find(user_id, enrolment_id) if enrolment_id else None
        if enrolment is None:
            raise await self._not_pending(user_id)
        async with limited_codes(self._rate_limits, user_id, code, "session"):
            now, ahead = self._clock(), self._totp_ahead
            step = totp.matching_step(enrolment.secret, code, now, ahead=ahead)
            outcome = await self._pending.confirm(user_id, enrolment.id, step, origin)
            if outcome == "wrong":
                raise InvalidCode
        if outcome == "gone":
            raise await self._not_pending(user_id)
        reason = "twoFA.enabled"
        if keep is not None:
            await self._cut_offs.end_others(user_id, origin, keep, reason=reason)
        version = await self._turn_on(user_id, enrolment)
        if keep is not None:
            await self._cut_offs.end_others(
                user_id, origin, keep, reason=reason, row_version=version
            )
        await self._pending.complete(
            user_id, enrolment.id, version if keep is None else None, origin
        )
        self._notices.tell("second_factor_on", user_id, origin)
        return [recovery_codes.spell(minted) for minted in enrolment.recovery_codes]

    async def _not_pending(self, user_id: bytes) -> AlreadyEnabled | EnrollmentNotFound:
        """Say why there is nothing to confirm: a racing call may have turned 2FA on just now."""
        return AlreadyEnabled() if await self._factors.get(user_id) else EnrollmentNotFound()

    async def _turn_on(self, user_id: bytes, enrolment: Enrolment) -> int:
        """Write the user row, and return its version."""
        sealed = seal_secret(self._keyring, user_id, enrolment.id, enrolment.secret)
        digests = [
            self._digests.of(user_id, enrolment.id, code) for code in enrolment.recovery_codes
        ]
        version = await self._factors.enable(
            user_id, SecondFactor(enrolment.id, sealed, epoch_of(sealed)), digests
        )
        if version is None:  # another enrolment of this user was faster
            raise AlreadyEnabled
        return version


def _enrolment_id(temp_secret_id: str) -> bytes | None:
    """Decode an enrolment's id; `None` for what is not spelt as we spell it."""
    if not _TEMP_SECRET_ID.fullmatch(temp_secret_id):
        return None
    return bytes.fromhex(temp_secret_id)
