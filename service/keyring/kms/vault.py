"""HashiCorp Vault and OpenBao: data keys wrapped by a key of the Transit engine."""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hvac
import msgspec
from hvac import exceptions
from requests.exceptions import RequestException

from service.errors import KeyServiceRefused, KeyServiceUnavailable, SealBroken, SettingsError
from service.keyring.envelope import DATA_KEY_SIZE
from service.keyring.kms.bounded_session import TooLong, bounded_session
from service.settings.paths import file_text

_FORMAT = b"\x03"
_CIPHERTEXT = re.compile(r"vault:v[1-9][0-9]{0,8}:[A-Za-z0-9+/]{60,200}={0,2}")
_HANDED_ON = "OPENSHOW_VAULT_APPROLE_TOKEN"
_PATIENCE = (2, 4)
"""Seconds to connect, and to wait for an answer."""


class VaultSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where Vault is, which key wraps, and who we are: a token, a file with one, or an AppRole."""

    address: str
    key: str
    mount: str = "transit"
    namespace: str = ""
    ca_file: str = ""
    token: str = ""
    token_file: Path | None = None
    role_id: str = ""
    secret_id: str = ""

    def __repr__(self) -> str:
        return f"VaultSettings(address={self.address!r}, key={self.key!r})"

    @classmethod
    def read(cls, environ: Mapping[str, str], **own: Any) -> "VaultSettings":
        """Read the variables that Vault's tools use; `own` come from the service's settings."""
        return cls(
            address=environ.get("VAULT_ADDR", ""),
            namespace=environ.get("VAULT_NAMESPACE", ""),
            ca_file=environ.get("VAULT_CACERT", ""),
            token=environ.get("VAULT_TOKEN", ""),
            **own,
        )


class VaultTransit:
    """Wraps with the newest version of a Transit key; Vault decides which versions unwrap.

    A wrapped key is the byte 0x03 and Vault's own text, `vault:v<version>:<base64>`; `aad` goes
    along as `associated_data`. The key must be an AEAD (`aes256-gcm96`, Transit's default).

    A token from a file is read anew for each call, so that an agent may renew it there. With an
    AppRole we log in once for all processes of a start, and again when the token is refused.
    """

    def __init__(self, settings: VaultSettings) -> None:
        if not settings.address:
            raise SettingsError("the key service vault needs VAULT_ADDR, the address of the server")
        if not (settings.token or settings.token_file or settings.role_id):
            raise SettingsError(
                "the key service vault needs VAULT_TOKEN, SERVICE_KMS_VAULT_TOKEN_FILE, or"
                " SERVICE_KMS_VAULT_ROLE_ID with SERVICE_KMS_VAULT_SECRET_ID"
            )
        self._settings = settings
        self._client = hvac.Client(
            settings.address,
            token=settings.token or None,
            namespace=settings.namespace or None,
            session=bounded_session(settings.ca_file),
            timeout=_PATIENCE,
            allow_redirects=False,  # the token and the data key would go along, to wherever it says
        )
        self._login = _Login(settings)
        self._logged_in = False

    def __repr__(self) -> str:
        return f"VaultTransit({self._settings!r})"

    def __str__(self) -> str:
        return f"the Vault key {self._settings.mount}/{self._settings.key}"

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        """Encrypt a data key with the newest version of the key."""
        if len(data_key) != DATA_KEY_SIZE:
            raise ValueError("a data key has 32 bytes")
        ciphertext = self._ask("encrypt_data", "ciphertext", aad, plaintext=_text(data_key))
        if not _CIPHERTEXT.fullmatch(ciphertext):
            raise self._no_vault()
        return _FORMAT + ciphertext.encode()

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Decrypt a wrapped data key, whose text names the version of the key."""
        ciphertext = wrapped[1:].decode("ascii", "replace")
        if wrapped[:1] != _FORMAT or not _CIPHERTEXT.fullmatch(ciphertext):
            raise SealBroken
        try:
            data_key = base64.b64decode(
                self._ask("decrypt_data", "plaintext", aad, ciphertext=ciphertext), validate=True
            )
        except binascii.Error:
            raise SealBroken from None
        if len(data_key) != DATA_KEY_SIZE:
            raise SealBroken
        return data_key

    def _ask(self, method: str, field: str, aad: bytes, **arguments: str) -> str:
        transit = getattr(self._client.secrets.transit, method)

        def ask() -> Any:
            return transit(
                self._settings.key,
                associated_data=_text(aad),
                mount_point=self._settings.mount,
                **arguments,
            )

        # `from None`: hvac's errors may hold what was sent, the data key among it.
        try:
            answer = self._authenticated(ask)
        except exceptions.VaultError as error:
            raise self._translated(error) from None
        except TooLong:
            raise self._no_vault() from None
        except RequestException as error:
            raise KeyServiceUnavailable(
                f"{self} cannot be reached at VAULT_ADDR: {type(error).__name__}"
            ) from None
        try:
            text = answer["data"][field]
        except (KeyError, TypeError, AttributeError):  # no JSON, or not Vault's
            raise self._no_vault() from None
        if not isinstance(text, str):
            raise self._no_vault()
        return text

    def _authenticated(self, ask: Callable[[], Any]) -> Any:
        """Ask with a token, and once more with a new one if there is a way to get one."""
        if self._settings.token_file:
            self._client.token = _read(self._settings.token_file)
        if not self._settings.role_id:
            return ask()
        handed_on = self._login.handed_on()
        if handed_on and not self._logged_in:
            self._client.token = handed_on
            self._logged_in = True
        if self._logged_in:
            try:
                return ask()
            except exceptions.Forbidden:
                self._logged_in = False
        # hvac keeps the token that a login gives.
        try:
            self._client.auth.approle.login(self._settings.role_id, self._settings.secret_id)
        except (LookupError, TypeError, AttributeError):  # no JSON, or not Vault's
            raise self._no_vault() from None
        self._login.hand_on(self._client.token)
        self._logged_in = True
        return ask()

    def _translated(self, error: exceptions.VaultError) -> Exception:
        """Turn an error of Vault's into one that says what it means for the operator."""
        if isinstance(error, exceptions.InvalidRequest):
            return self._invalid(str(error))
        if isinstance(error, exceptions.Forbidden):
            return KeyServiceRefused(
                f"{self} may not be used: the token has expired or lacks the right to update"
                f" {self._settings.mount}/encrypt/… and {self._settings.mount}/decrypt/…"
            )
        if isinstance(error, exceptions.VaultDown):
            return KeyServiceUnavailable(f"{self} cannot be used: Vault is sealed")
        if error.json is None:
            return self._no_vault()
        if isinstance(error, exceptions.InvalidPath):
            return KeyServiceRefused(
                f"{self} does not exist: enable Transit there, or mend SERVICE_KMS_VAULT_MOUNT"
            )
        return KeyServiceUnavailable(f"{self} answers with an error; see Vault's log")

    def _no_vault(self) -> KeyServiceRefused:
        return KeyServiceRefused(
            f"{self} cannot be used: what answers at VAULT_ADDR ({self._settings.address}) is not"
            " Vault's API; mend the address"
        )

    def _invalid(self, complaint: str) -> Exception:
        """Tell apart by its words what Vault answers with 400."""
        if "too old" in complaint:
            return KeyServiceRefused(
                f"{self} does not open this version any more: lower its min_decryption_version,"
                " run `openshow-auth keys rewrap`, then raise it again"
            )
        if "key not found" in complaint:
            return KeyServiceRefused(f"{self} does not exist: make it, or mend its name")
        if "derived key" in complaint or "non-AEAD" in complaint or "not support" in complaint:
            return KeyServiceRefused(
                f"{self} is of a type that does not serve: make one of type aes256-gcm96 that is"
                " not derived, and name it in SERVICE_KMS_VAULT_KEY"
            )
        if "role or secret" in complaint or "secret id" in complaint or "role ID" in complaint:
            return KeyServiceRefused(
                f"{self} may not be used: the AppRole login is refused; a secret id that may be"
                " used once is spent after the first start"
            )
        return SealBroken()


class _Login:
    """The token of an AppRole, handed on from the start to all that it starts.

    A secret id may be good for one login. The rehearsal of the start, the server and each worker
    would each need one; so the first token goes along in the environment, bound to what it is for.
    """

    def __init__(self, settings: VaultSettings) -> None:
        parts = settings.address, settings.namespace, settings.role_id, settings.secret_id
        self._name = hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def handed_on(self) -> str:
        name, _, token = os.environ.get(_HANDED_ON, "").partition(":")
        return token if name == self._name else ""

    def hand_on(self, token: str) -> None:
        os.environ[_HANDED_ON] = f"{self._name}:{token}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _read(path: Path) -> str:
    try:
        token = file_text(str(path))
        token.encode("ascii")  # what a header can hold
        return token
    except ValueError:
        raise KeyServiceUnavailable(
            "the file in SERVICE_KMS_VAULT_TOKEN_FILE cannot be read"
        ) from None
