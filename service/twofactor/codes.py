"""Tells which of the two kinds of code a person has typed, and whether it could be right."""

from collections.abc import Sequence

import msgspec

from service.accounts.second_factors import SecondFactor
from service.clock import Clock
from service.keyring.envelope import Keyring
from service.twofactor import recovery_codes, totp
from service.twofactor.recovery_codes import RecoveryDigests

_PURPOSE = "totp secret"


class TotpCode(msgspec.Struct, frozen=True):
    """A code of the authenticator app, and the step that it belongs to."""

    step: int


class RecoveryCode(msgspec.Struct, frozen=True):
    """Something spelt like a recovery code, as the digests to look for."""

    digests: Sequence[bytes]


def seal_secret(keyring: Keyring, user_id: bytes, enrolment_id: bytes, secret: bytes) -> bytes:
    """Seal the TOTP secret of an enabled second factor, for the user store."""
    return keyring.seal(secret, purpose=_PURPOSE, bound_to=user_id + enrolment_id)


def reseal_secret(keyring: Keyring, user_id: bytes, enrolment_id: bytes, sealed: bytes) -> bytes:
    """Open a sealed TOTP secret and seal it under the current epoch. Raises `SealBroken`."""
    secret = keyring.open(sealed, purpose=_PURPOSE, bound_to=user_id + enrolment_id)
    return seal_secret(keyring, user_id, enrolment_id, secret)


class CodeReader:
    """Reads the codes that people type, at every door alike."""

    def __init__(
        self, keyring: Keyring, digests: RecoveryDigests, clock: Clock, *, totp_ahead: bool
    ) -> None:
        """Judge by this clock. `totp_ahead`: the code of the next step counts, too."""
        self._keyring = keyring
        self._digests = digests
        self._clock = clock
        self._totp_ahead = totp_ahead

    def read(
        self, user_id: bytes, factor: SecondFactor, code: str
    ) -> TotpCode | RecoveryCode | None:
        """Tell what `code` is for this user; `None`: a wrong TOTP code, or no code at all.

        Raises:
            SealBroken: the stored secret does not open.
            KeyServiceUnavailable: the keys are not open yet.
        """
        secret = self._keyring.open(
            factor.totp_sealed, purpose=_PURPOSE, bound_to=user_id + factor.enrolment_id
        )
        step = totp.matching_step(secret, code, self._clock(), ahead=self._totp_ahead)
        if step is not None:
            return TotpCode(step)
        typed = recovery_codes.read(code)
        if typed is not None:
            return RecoveryCode(self._digests.candidates(user_id, factor.enrolment_id, typed))
        return None
