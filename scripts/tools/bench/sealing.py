"""Microseconds that the keyring takes for a TOTP secret. Nothing but this process is involved."""

import time
from collections.abc import Callable
from os import urandom

from service.keyring.envelope import DATA_KEY_SIZE, Keyring
from service.twofactor.totp import new_secret
from tools.bench.results import Found, Row

_PURPOSE = "totp secret"
_BATCH = 1000
_BATCHES = 50


def measure() -> Found:
    """Measure the best batch of each: what is slower had to share its core."""
    keyring = Keyring({1: urandom(DATA_KEY_SIZE)})
    secret, bound_to = new_secret(), urandom(32)
    sealed = keyring.seal(secret, purpose=_PURPOSE, bound_to=bound_to)
    work = {
        "sealed": lambda: keyring.seal(secret, purpose=_PURPOSE, bound_to=bound_to),
        "opened": lambda: keyring.open(sealed, purpose=_PURPOSE, bound_to=bound_to),
    }
    return Found(
        [Row("seal", "a TOTP secret", name, _best(each), "µs", limit=10)
         for name, each in work.items()]
    )  # fmt: skip


def _best(work: Callable[[], bytes]) -> float:
    return round(min(_batch(work) for _ in range(_BATCHES)) / _BATCH * 1e6, 2)


def _batch(work: Callable[[], bytes]) -> float:
    started = time.perf_counter()
    for _ in range(_BATCH):
        work()
    return time.perf_counter() - started
