"""The PIN of an HSM is tried once: a few wrong ones lock real tokens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools.testbed.redis_server import REPOSITORY

from service.errors import StartupError
from service.keyring.pin import SHARED, PinTries
from tests.keyring.rigs import Pkcs11Rig

# Counts the logins of this process, in which nobody has logged in; prints what each call is told.
TRIER = """
import json, os, sys
from pathlib import Path
import pkcs11
from pkcs11.constants import TokenFlag
from service.keyring.kms import pkcs11 as module
library, token, pin, extra, calls = sys.argv[1:]
logins = 0
real = pkcs11.lib(library)

class Token:
    def __init__(self, inner):
        self._inner = inner
        self.flags = inner.flags | TokenFlag(int(extra))
    def open(self, **options):
        global logins
        logins += "user_pin" in options
        return self._inner.open(**options)

class Library:
    reinitialize = staticmethod(lambda: real.reinitialize())
    get_token = staticmethod(lambda **options: Token(real.get_token(**options)))

module.pkcs11.lib = lambda path: Library
settings = module.Pkcs11Settings(Path(library), token, pin, ["first"])
provider = module.Pkcs11Token(settings, os.environ)
told = []
for _ in range(int(calls)):
    try:
        provider.wrap(bytes(32), b"")
        told.append("")
    except Exception as error:
        told.append(f"{type(error).__name__}: {error}")
print(json.dumps([logins, told]))
"""


def tried(
    rig: Pkcs11Rig, pin: str, *, flags: int = 0, shared: Path | None = None, calls: int = 5
) -> tuple[int, list[str]]:
    """How often a process logged in, and what each of its calls was told."""
    environ = {**os.environ, **({SHARED: str(shared)} if shared else {})}
    run = subprocess.run(
        [sys.executable, "-c", TRIER, str(rig.library), "openshow", pin, str(flags), str(calls)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        env=environ,
    )
    logins, told = json.loads(run.stdout.splitlines()[-1])
    return logins, told


def test_a_wrong_pin_is_tried_once(pkcs11_rig: Pkcs11Rig) -> None:
    """However often the key service is asked; and each time the operator is told why."""
    logins, told = tried(pkcs11_rig, "9999")
    assert logins == 1
    assert set(told) == {"StartupError: SERVICE_KMS_PKCS11_PIN: the token answers PinIncorrect"}
    assert tried(pkcs11_rig, "1234") == (1, [""] * 5)


def test_siblings_share_the_try(pkcs11_rig: Pkcs11Rig, tmp_path: Path) -> None:
    """Workers of one start try a wrong PIN once together; a right one each has to give."""
    shared = tmp_path / "pin-refused"
    assert [tried(pkcs11_rig, "9999", shared=shared)[0] for _ in range(3)] == [1, 0, 0]
    assert shared.stat().st_mode & 0o777 == 0o600
    assert "9999" not in shared.read_text()
    another = tmp_path / "other"
    assert [tried(pkcs11_rig, "1234", shared=another)[0] for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(
    ("flags", "logins", "says"),
    [
        (0x10000, 1, ""),  # USER_PIN_COUNT_LOW: somebody has mistyped it
        (0x20000, 0, "the next wrong PIN locks it"),  # USER_PIN_FINAL_TRY
        (0x40000, 0, "PinLocked"),  # USER_PIN_LOCKED
    ],
)
def test_the_last_try_is_nobodys(pkcs11_rig: Pkcs11Rig, flags: int, logins: int, says: str) -> None:
    """A token that is locked, or would be by one more wrong PIN, is left to its operator."""
    found, told = tried(pkcs11_rig, "1234", flags=flags)
    assert found == logins
    assert all(says in line for line in told)
    assert all(told) == bool(says)


def test_turns_are_given_back(tmp_path: Path) -> None:
    """A refusal in one process counts in another that has waited for its turn."""
    environ = {SHARED: str(tmp_path / "refused")}
    one, other = PinTries(environ), PinTries(environ)
    with one.turn():
        one.refuse("it is wrong")
    with pytest.raises(StartupError, match="it is wrong"), other.turn():
        pytest.fail("it was tried again")
