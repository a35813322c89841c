"""Microseconds that the keyring takes for a TOTP secret. Nothing but this process is involved."""

from argparse import Namespace
from os import urandom
from timeit import repeat
from typing import Any

from service.keyring.envelope import DATA_KEY_SIZE, Keyring
from service.twofactor.totp import new_secret
from tools.bench.results import Found, Row
from tools.report.progress import StatusLine

_BATCH, _BATCHES = 1000, 50


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure the best batch of each: what is slower had to share its core."""
    tell("sealing TOTP secrets")
    keyring, secret = Keyring({1: urandom(DATA_KEY_SIZE)}), new_secret()
    use: dict[str, Any] = {"purpose": "totp secret", "bound_to": urandom(32)}
    sealed = keyring.seal(secret, **use)
    best = {
        "sealed": min(repeat(lambda: keyring.seal(secret, **use), number=_BATCH, repeat=_BATCHES)),
        "opened": min(repeat(lambda: keyring.open(sealed, **use), number=_BATCH, repeat=_BATCHES)),
    }
    return Found([
        Row("seal", "a TOTP secret", name, round(seconds / _BATCH * 1e6, 2), "µs", limit=10)
        for name, seconds in best.items()
    ])  # fmt: skip
