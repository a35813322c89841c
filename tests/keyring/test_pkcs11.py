"""What is an HSM's own: a key that cannot leave it, its PIN, and sessions that die."""

import subprocess
import sys
from pathlib import Path

import pytest
from tools.testbed.redis_server import REPOSITORY

from service.errors import KeyServiceUnavailable, StartupError
from service.keyring.kms.pkcs11 import Pkcs11Settings, Pkcs11Token
from tests.keyring.rigs import Pkcs11Rig
from tests.support.softhsm import SoftHsm

DATA_KEY = bytes(range(32))
AAD = b"openshow-auth data key, epoch 1"


def test_extractable_key_is_refused(hsm: SoftHsm, pkcs11_rig: Pkcs11Rig) -> None:
    """A key that can be read out of the token is no better than a file, and is not used."""
    hsm.make_key("readable", extractable=True)
    with pytest.raises(StartupError, match="'readable' can be read out"):
        pkcs11_rig.provider("readable").wrap(DATA_KEY, AAD)


def test_first_key_wraps_and_all_unwrap(pkcs11_rig: Pkcs11Rig) -> None:
    """With a new key in front, new wrappings are its own and the old ones still open."""
    old = pkcs11_rig.provider("first").wrap(DATA_KEY, AAD)
    both = pkcs11_rig.provider("second", "first")
    assert both.unwrap(old, AAD) == DATA_KEY
    assert pkcs11_rig.provider("second").unwrap(both.wrap(DATA_KEY, AAD), AAD) == DATA_KEY


def test_dead_session_is_replaced(pkcs11_rig: Pkcs11Rig) -> None:
    """After a restart of the HSM the next call opens another session."""
    token = Pkcs11Token(Pkcs11Settings(pkcs11_rig.library, "openshow", "1234", ["first"]))
    wrapped = token.wrap(DATA_KEY, AAD)
    assert token._session is not None
    token._session.close()  # what the HSM's restart does to it
    assert token.unwrap(wrapped, AAD) == DATA_KEY
    token._session.close()
    assert token.unwrap(token.wrap(DATA_KEY, AAD), AAD) == DATA_KEY


def test_what_is_wrong_is_named(pkcs11_rig: Pkcs11Rig) -> None:
    """Token, key and library: each is told by its name, none with a traceback's words."""
    with pytest.raises(KeyServiceUnavailable, match="there is no PKCS#11 token other"):
        pkcs11_rig.provider(token="other").wrap(DATA_KEY, AAD)
    with pytest.raises(StartupError, match="the token has no AES key 'third'"):
        pkcs11_rig.provider("third").wrap(DATA_KEY, AAD)
    with pytest.raises(StartupError, match="cannot be loaded"):
        pkcs11_rig.provider(module=Path("/nonexistent.so")).wrap(DATA_KEY, AAD)
    with pytest.raises(StartupError, match="SERVICE_KMS_PKCS11_TOKEN, _KEY and _PIN"):
        pkcs11_rig.provider(pin="")


# In a process of its own: this one has logged in already.
WRONG_PIN = """
import sys
from pathlib import Path
from service.keyring.kms.pkcs11 import Pkcs11Settings, Pkcs11Token
settings = Pkcs11Settings(Path(sys.argv[1]), "openshow", "9999", ["first"])
try:
    Pkcs11Token(settings).wrap(bytes(32), b"")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_wrong_pin(pkcs11_rig: Pkcs11Rig) -> None:
    """A wrong PIN stops the start, for trying again would lock the token. It is not shown."""
    run = subprocess.run(
        [sys.executable, "-c", WRONG_PIN, str(pkcs11_rig.library)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "StartupError SERVICE_KMS_PKCS11_PIN: the token answers PinIncorrect\n"
    assert "9999" not in run.stdout + run.stderr
