"""Several key services as one, the deadline, and what the settings make of it all."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.errors import KeyServiceUnavailable, SealBroken, StartupError
from service.keyring.kms import selection as providers
from service.keyring.kms.local import LocalKeyFile
from service.keyring.kms.provider import KeyServices, WithDeadline
from service.keyring.kms.selection import open_key_services
from service.settings import Settings
from tests.keyring.rigs import VaultRig

DATA_KEY = bytes(range(32))
AAD = b"openshow-auth data key, epoch 1"


class Hanging:
    """A key service whose library never comes back, until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.threads: set[int] = set()

    def __str__(self) -> str:
        return "the hanging one"

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        self.threads.add(threading.get_ident())
        self.let_go.wait()
        return b"\x04" + data_key

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        self.threads.add(threading.get_ident())
        if wrapped == b"":
            raise SealBroken
        return wrapped[1:]


def test_call_that_never_ends_is_given_up() -> None:
    """A library that hangs is 'unavailable' at the deadline; once it is back, all goes on."""
    inner = Hanging()
    provider = WithDeadline(inner, timedelta(milliseconds=50))
    for _ in range(2):
        with pytest.raises(KeyServiceUnavailable, match="the hanging one does not answer in time"):
            provider.wrap(DATA_KEY, AAD)
    inner.let_go.set()
    patient = WithDeadline(inner)
    assert patient.wrap(DATA_KEY, AAD) == b"\x04" + DATA_KEY


def test_all_calls_come_from_one_thread() -> None:
    """Whichever threads ask, one thread calls; errors come back to who asked."""
    inner = Hanging()
    inner.let_go.set()
    provider = WithDeadline(inner)
    askers = [threading.Thread(target=provider.wrap, args=(DATA_KEY, AAD)) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    with pytest.raises(SealBroken):
        provider.unwrap(b"", AAD)
    assert len(inner.threads) == 1
    assert threading.get_ident() not in inner.threads


def test_each_key_is_unwrapped_by_whoever_wrapped_it(tmp_path: Path, vault_rig: VaultRig) -> None:
    """From a key file to Vault: the new one wraps, and the file's keys open as long as it lies."""
    local = LocalKeyFile.at(tmp_path, None)
    old = local.wrap(DATA_KEY, AAD)
    services = KeyServices("vault", {"vault": vault_rig.provider(), "local": local}.__getitem__)
    new = services.wrap(DATA_KEY, AAD)
    assert new[:1] == b"\x03"
    assert services.unwrap(old, AAD) == services.unwrap(new, AAD) == DATA_KEY
    with pytest.raises(SealBroken):
        services.unwrap(b"\x09" + old[1:], AAD)


def test_key_service_that_is_not_set_up_any_more(tmp_path: Path, vault_rig: VaultRig) -> None:
    """A key wrapped by a key service without settings stops the start, and names them."""
    wrapped = vault_rig.provider().wrap(DATA_KEY, AAD)
    services = open_key_services(Settings(data_dir=tmp_path), {})
    with pytest.raises(StartupError, match=r"still wrapped by vault.*VAULT_ADDR"):
        services.unwrap(wrapped, AAD)


@pytest.mark.parametrize(
    ("kms", "says"),
    [("aws", "SERVICE_KMS_AWS_KEY"), ("vault", "VAULT_ADDR"), ("pkcs11", "_PKCS11_MODULE")],
)
def test_settings_that_are_missing(kms: Any, says: str) -> None:
    """What a key service needs is asked for by name, before anything is called."""
    with pytest.raises(StartupError, match=says):
        open_key_services(Settings(kms=kms), {})


def test_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the start names it."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module", name="hvac")

    monkeypatch.setattr(providers, "import_module", missing)
    with pytest.raises(StartupError, match=r"install openshow-auth\[vault\]"):
        open_key_services(Settings(kms="vault"), {})
