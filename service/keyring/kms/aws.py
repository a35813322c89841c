"""AWS KMS: data keys wrapped by a symmetric key of an account."""

import os
import re
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from service.errors import (
    KeyServiceRefused,
    KeyServiceUnavailable,
    SealBroken,
    SettingsError,
)
from service.keyring.envelope import DATA_KEY_SIZE

_FORMAT = b"\x02"
_LARGEST = 6144  # of a ciphertext, says the API
_PATIENCE = Config(connect_timeout=2, read_timeout=4, retries={"total_max_attempts": 2})

_STEERING, _SHOWN = re.compile(r"[^!-~]"), 64
"""What of an error's code, which anybody may have answered, is not shown; and how much of it is."""

_NOT_OURS = ("InvalidCiphertextException", "IncorrectKeyException")
_ADVICE = {
    "DisabledException": "it is disabled: enable it",
    "KMSInvalidStateException": "its state forbids it: cancel its deletion, or enable it",
    "NotFoundException": "there is no such key in this account and region",
    "AccessDeniedException": "access is denied: allow kms:Encrypt and kms:Decrypt",
    "UnrecognizedClientException": "the credentials are not known",
    "InvalidSignatureException": "the credentials are wrong",
    "ExpiredTokenException": "the credentials have expired",
    "InvalidKeyUsageException": "it is not a symmetric key for encryption",
}


class AwsKms:
    """Wraps with the first of its keys; each of them unwraps what it has wrapped.

    A wrapped key is the byte 0x02 and the ciphertext of KMS. `aad` goes along as the encryption
    context `{"openshow-auth": …}`, which CloudTrail records. Keys are ids, ARNs or aliases. We name
    the key when unwrapping too: else KMS would unwrap for any key that a ciphertext names, also for
    one of whoever could write to our database.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise SettingsError(
                "the key service aws needs SERVICE_KMS_AWS_KEY: a key id, ARN or alias"
            )
        self._keys = keys
        try:
            # Credentials, region, endpoint: from boto3's own chain, as AWS_* variables have it.
            # A session of our own: the shared one would keep the first credentials it found.
            # It reads AWS_DEFAULT_REGION alone, where all other tools of AWS read AWS_REGION.
            region = os.environ.get("AWS_REGION") or None
            self._client = boto3.Session(region_name=region).client("kms", config=_PATIENCE)
        except NoRegionError:
            raise SettingsError(
                "the key service aws needs AWS_REGION, the region of the key"
            ) from None
        except (BotoCoreError, ValueError) as error:
            raise SettingsError(f"the key service aws: {error}") from None

    def __repr__(self) -> str:
        return f"AwsKms({list(self._keys)})"

    @property
    def endpoint(self) -> str:
        """The URL of the key service."""
        return str(self._client.meta.endpoint_url)

    def __str__(self) -> str:
        return f"the AWS KMS key {self._keys[0]}"

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        """Encrypt a data key with the first key."""
        if len(data_key) != DATA_KEY_SIZE:
            raise ValueError("a data key has 32 bytes")
        sealed = self._ask("encrypt", "CiphertextBlob", self._keys[0], aad, Plaintext=data_key)
        return _FORMAT + sealed

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Decrypt a wrapped data key with the key that has wrapped it."""
        if wrapped[:1] != _FORMAT or not 1 < len(wrapped) <= _LARGEST:
            raise SealBroken
        refused: KeyServiceUnavailable | None = None
        for key in self._keys:
            try:
                data_key = self._ask("decrypt", "Plaintext", key, aad, CiphertextBlob=wrapped[1:])
            except SealBroken:
                continue
            except KeyServiceUnavailable as error:
                refused = refused or error  # another of the keys may still be the one
                continue
            if len(data_key) == DATA_KEY_SIZE:
                return data_key
        raise refused or SealBroken()

    def _ask(self, method: str, field: str, key: str, aad: bytes, **arguments: Any) -> bytes:
        try:
            answer = getattr(self._client, method)(
                KeyId=key, EncryptionContext={"openshow-auth": aad.decode()}, **arguments
            )
            return bytes(answer[field])
        # `from None`: an error may hold what was sent, the data key among it.
        except ClientError as error:
            code = _STEERING.sub("?", str(error.response.get("Error", {}).get("Code", ""))[:_SHOWN])
            if code in _NOT_OURS:
                raise SealBroken from None
            advice = _ADVICE.get(code, f"KMS answers {code}")
            kind = KeyServiceRefused if code in _ADVICE else KeyServiceUnavailable
            raise kind(f"the AWS KMS key {key} cannot be used: {advice}") from None
        except NoCredentialsError:
            raise KeyServiceRefused(f"{self} cannot be used: no AWS credentials") from None
        except BotoCoreError as error:
            raise KeyServiceUnavailable(
                f"{self} cannot be reached: {type(error).__name__}"
            ) from None
        except (KeyError, TypeError, AttributeError, ValueError):  # the library's own, on no answer
            raise KeyServiceRefused(
                f"{self} cannot be used: what answers is not KMS; mend AWS_ENDPOINT_URL_KMS or the"
                " proxy before it"
            ) from None
