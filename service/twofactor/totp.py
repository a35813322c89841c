"""TOTP (RFC 6238) as authenticator apps expect it: SHA-1, six digits, steps of 30 seconds.

pyotp computes the codes; which step a code belongs to, and that it counts once, is ours.
"""

import base64
import functools
import hmac
import os
import re
from datetime import datetime
from urllib.parse import quote

import pyotp

SECRET_BYTES = 20
"""RFC 4226, section 4: 160 bits, the size of SHA-1."""

STEP_SECONDS = 30

_CODE = re.compile(r"[0-9]{6}", re.ASCII)


def new_secret() -> bytes:
    """Mint a secret."""
    return os.urandom(SECRET_BYTES)


def is_code(text: str) -> bool:
    """Tell whether this is spelt like a code: exactly six ASCII digits."""
    return _CODE.fullmatch(text) is not None


def matching_step(secret: bytes, code: str, now: datetime, *, ahead: bool = True) -> int | None:
    """Find the step whose code this is: the present one, or one either side; `None`: of none.

    Exactly six ASCII digits are a code; anything else is not. Without `ahead` the next step counts
    for nothing: RFC 6238, section 5.2, asks for one step for the way at most, and only a phone that
    runs fast needs the other.
    """
    if not is_code(code):
        return None
    totp = pyotp.TOTP(base64.b32encode(secret).decode())
    present = int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in (present - 1, present, present + 1):  # all three, so that the time tells nothing
        if hmac.compare_digest(totp.generate_otp(step), code) and (ahead or step <= present):
            found = step
    return found


def provisioning_uri(secret: bytes, issuer: str, account: str) -> str:
    """Make the `otpauth://` URI that an authenticator app reads from the QR code.

    Percent-encoded throughout: several apps show a `+` as it is.
    """
    name = _quoted_issuer(issuer)
    text = base64.b32encode(secret).decode().rstrip("=")
    return (
        f"otpauth://totp/{name}:{quote(account, safe='')}?secret={text}&issuer={name}"
        f"&algorithm=SHA1&digits=6&period={STEP_SECONDS}"
    )


@functools.lru_cache(maxsize=1)  # the name of the service; addresses of people are not kept
def _quoted_issuer(issuer: str) -> str:
    return quote(issuer, safe="")
