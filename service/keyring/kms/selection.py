"""Makes the key services that the settings name. Only what is used is imported."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from service.errors import SettingsError
from service.keyring.kms.local import LocalKeyFile
from service.keyring.kms.provider import KeyProvider, KeyServices, WithDeadline
from service.settings import Settings


def open_key_services(settings: Settings, environ: Mapping[str, str]) -> KeyServices:
    """Make the key service that `SERVICE_KMS` names, and all others that are set up, to unwrap.

    Raises:
        SettingsError: a setting is missing, or the library of a key service is not installed.
    """

    def make(name: str) -> KeyProvider:
        match name:
            case "aws":
                provider: KeyProvider = _library("aws").AwsKms(settings.kms_aws_key)
            case "vault":
                provider = _vault(settings, environ)
            case "pkcs11":
                provider = _pkcs11(settings, environ)
            case _:
                return LocalKeyFile.at(settings.data_dir, settings.kms_local_key_file)
        return WithDeadline(provider)

    return KeyServices(settings.kms, make)


def aws_endpoint(settings: Settings) -> str:
    """Return the URL that AWS KMS is asked at, by boto3's own chain of variables and files.

    Raises:
        SettingsError: as above.
    """
    return str(_library("aws").AwsKms(settings.kms_aws_key).endpoint)


def _vault(settings: Settings, environ: Mapping[str, str]) -> KeyProvider:
    library = _library("vault")
    provider: KeyProvider = library.VaultTransit(
        library.VaultSettings.read(
            environ,
            key=settings.kms_vault_key,
            mount=settings.kms_vault_mount,
            token_file=settings.kms_vault_token_file,
            role_id=settings.kms_vault_role_id,
            secret_id=settings.kms_vault_secret_id.reveal(),
        )
    )
    return provider


def _pkcs11(settings: Settings, environ: Mapping[str, str]) -> KeyProvider:
    if settings.kms_pkcs11_module is None:
        raise SettingsError(
            "the key service pkcs11 needs SERVICE_KMS_PKCS11_MODULE, the HSM's library (a .so file)"
        )
    library = _library("pkcs11")
    provider: KeyProvider = library.Pkcs11Token(
        library.Pkcs11Settings(
            settings.kms_pkcs11_module,
            settings.kms_pkcs11_token,
            settings.kms_pkcs11_pin.reveal(),
            settings.kms_pkcs11_key,
        ),
        environ,
    )
    return provider


def _library(name: str) -> Any:
    try:
        return import_module(f"service.keyring.kms.{name}")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the key service {name} needs the Python package {error.name}:"
            f" install openshow-auth[{name}]"
        ) from None
