"""Tells which of the two kinds of code a person has typed, and whether it could be right."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.accounts.second_factors import SecondFactor
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


def classify(
    keyring: Keyring,
    digests: RecoveryDigests,
    user_id: bytes,
    factor: SecondFactor,
    code: str,
    now: datetime,
    *,
    ahead: bool = True,
) -> TotpCode | RecoveryCode | None:
    """Tell what `code` is for this user; `None`: a wrong TOTP code, or no code at all.

    `ahead`: the code of the next step counts, too.

    Raises:
        SealBroken: the stored secret does not open.
        KeyServiceUnavailable: the keys are not open yet.
    """
    secret = keyring.open(
        factor.totp_sealed, purpose=_PURPOSE, bound_to=user_id + factor.enrolment_id
    )
    step = totp.matching_step(secret, code, now, ahead=ahead)
    if step is not None:
        return TotpCode(step)
    typed = recovery_codes.read(code)
    if typed is not None:
        return RecoveryCode(digests.candidates(user_id, factor.enrolment_id, typed))
    return None
