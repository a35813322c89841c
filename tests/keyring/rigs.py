"""Key services as the conformance tests handle them: one key, another key, and ways to fail."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from service.errors import KeyServiceUnavailable, StartupError
from service.keyring.kms.aws import AwsKms as AwsProvider
from service.keyring.kms.local import LocalKeyFile
from service.keyring.kms.pkcs11 import Pkcs11Settings, Pkcs11Token
from service.keyring.kms.provider import KeyProvider, WithDeadline
from service.keyring.kms.vault import VaultSettings, VaultTransit
from tests.support.aws_kms import AwsKms
from tests.support.bao import ROOT_TOKEN, Bao
from tests.support.silent_peer import dead_address, silent_peer
from tests.support.softhsm import PIN, TOKEN, SoftHsm


class Rig(Protocol):
    """A real key service with two keys."""

    name: str
    refuses: type[Exception]
    """What a provider raises whose key is disabled or gone."""

    def provider(self) -> KeyProvider:
        """A new provider for the first key."""

    def another(self) -> KeyProvider:
        """A new provider for the second key."""

    def disabled(self) -> AbstractContextManager[None]:
        """While the block runs, the first key may not be used."""

    def unreachable(self) -> Iterator[KeyProvider]:
        """Providers whose peer never answers, and whose peer is gone."""


class LocalRig:
    """A key file. It has no peer; what takes the place of a disabled key is a missing file."""

    name = "local"
    refuses = StartupError

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def provider(self) -> KeyProvider:
        return LocalKeyFile.at(self._directory / "first", None)

    def another(self) -> KeyProvider:
        provider = LocalKeyFile.at(self._directory / "second", None)
        provider.wrap(bytes(32), b"")  # makes the file
        return provider

    @contextmanager
    def disabled(self) -> Iterator[None]:
        path = self._directory / "first/local.keys"
        aside = path.rename(path.with_suffix(".aside"))
        # A provider that has not seen the file would make one: give it no leave to.
        path.mkdir()
        yield
        path.rmdir()
        aside.rename(path)

    def unreachable(self) -> Iterator[KeyProvider]:
        yield from ()


class VaultRig:
    """A Transit key of a `bao` server."""

    name = "vault"
    refuses = KeyServiceUnavailable

    def __init__(self, bao: Bao) -> None:
        self._bao = bao
        for key in ("first", "second"):
            bao.client.secrets.transit.create_key(key)

    def provider(self, key: str = "first", **settings: Any) -> KeyProvider:
        given = {"address": self._bao.address, "key": key, "token": ROOT_TOKEN, **settings}
        return VaultTransit(VaultSettings(**given))

    def another(self) -> KeyProvider:
        return self.provider("second")

    @contextmanager
    def disabled(self) -> Iterator[None]:
        self._bao.seal()
        yield
        self._bao.unseal()

    def unreachable(self) -> Iterator[KeyProvider]:
        with silent_peer() as address:
            yield self.provider(address=address)
        yield self.provider(address=dead_address())


class AwsRig:
    """A key of moto's KMS, behind the double."""

    name = "aws"
    refuses = KeyServiceUnavailable

    def __init__(self, kms: AwsKms) -> None:
        self._kms = kms
        for alias in ("alias/first", "alias/second"):
            kms.make_key(alias)

    def provider(self, *keys: str, address: str = "") -> KeyProvider:
        os.environ["AWS_ENDPOINT_URL_KMS"] = address or self._kms.address
        return AwsProvider(keys or ("alias/first",))

    def another(self) -> KeyProvider:
        return self.provider("alias/second")

    @contextmanager
    def disabled(self) -> Iterator[None]:
        self._kms.refusal = "DisabledException"
        yield
        self._kms.refusal = ""

    def unreachable(self) -> Iterator[KeyProvider]:
        with silent_peer() as address:
            yield self.provider(address=address)
        yield self.provider(address=dead_address())


class Pkcs11Rig:
    """Keys of a SoftHSM token. A library in this process cannot be slow or dead; its key can go."""

    name = "pkcs11"
    refuses = StartupError

    def __init__(self, hsm: SoftHsm) -> None:
        self._hsm = hsm
        self.library = hsm.library
        for key in ("first", "second"):
            hsm.make_key(key)

    def provider(self, *keys: str, **settings: Any) -> KeyProvider:
        given = {"module": self._hsm.library, "token": TOKEN, "pin": PIN, **settings}
        return WithDeadline(Pkcs11Token(Pkcs11Settings(keys=keys or ("first",), **given)))

    def another(self) -> KeyProvider:
        return self.provider("second")

    @contextmanager
    def disabled(self) -> Iterator[None]:
        self._hsm.rename_key("first", "aside")
        yield
        self._hsm.rename_key("aside", "first")

    def unreachable(self) -> Iterator[KeyProvider]:
        yield from ()
