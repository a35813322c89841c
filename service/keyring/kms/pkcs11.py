"""An HSM: data keys wrapped by an AES key that cannot leave a PKCS#11 token."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pkcs11
import structlog
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass
from pkcs11.constants import TokenFlag
from pkcs11.exceptions import (
    MultipleObjectsReturned,
    NoSuchKey,
    NoSuchToken,
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PinTooWeak,
    PKCS11Error,
    UserAlreadyLoggedIn,
    UserPinNotInitialized,
)

from service.errors import KeyServiceUnavailable, SealBroken, SettingsError, StartupError
from service.keyring.envelope import DATA_KEY_SIZE
from service.keyring.pin import PinTries

log = structlog.get_logger()

_PIN_ERRORS = (
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PinTooWeak,
    UserPinNotInitialized,
)

_WARNINGS = TokenFlag.USER_PIN_COUNT_LOW | TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_LOCKED

_FORMAT = b"\x04"
_NONCE_END = 13
_TAG_BITS = 128
_WRAPPED_SIZE = _NONCE_END + DATA_KEY_SIZE + _TAG_BITS // 8


class _AesKey(Protocol):
    """What we use of a key; the library puts its classes together while it runs."""

    def encrypt(self, data: bytes, **mechanism: object) -> bytes: ...

    def decrypt(self, data: bytes, **mechanism: object) -> bytes: ...


class Pkcs11Settings(msgspec.Struct, frozen=True):
    """The library of the HSM, the label of the token, its PIN, the labels of the keys."""

    module: Path
    token: str
    pin: str
    keys: Sequence[str]

    def __repr__(self) -> str:
        return f"Pkcs11Settings({str(self.module)!r}, {self.token!r}, {list(self.keys)})"


class Pkcs11Token:
    """Wraps with AES-256-GCM under the first of its keys; each of them unwraps.

    The key is named by its label. It must be sensitive and not extractable, else an HSM is a file
    with extra steps. A wrapped key is 61 bytes; its tag also covers the first byte and `aad`::

        0      1                  13                          45           61
        +------+------------------+---------------------------+------------+
        | 0x04 | nonce, random    | encrypted data key        | tag        |
        |      | 12 bytes         | 32 bytes                  | 16 bytes   |
        +------+------------------+---------------------------+------------+

    One session, opened at the first call and again after one that failed. All calls must come from
    one thread (`WithDeadline` sees to it).
    """

    def __init__(self, settings: Pkcs11Settings, environ: Mapping[str, str] | None = None) -> None:
        if not (settings.token and settings.keys and settings.pin):
            raise SettingsError(
                "the key service pkcs11 needs SERVICE_KMS_PKCS11_TOKEN, _KEY and _PIN: the label"
                " of the token, that of its key, and the user's PIN"
            )
        self._settings = settings
        self._tries = PinTries(environ or {})
        self._session: pkcs11.Session | None = None
        self._keys: list[_AesKey] = []

    def __repr__(self) -> str:
        return f"Pkcs11Token({self._settings!r})"

    def __str__(self) -> str:
        return f"the key {self._settings.keys[0]} of the PKCS#11 token {self._settings.token}"

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        """Encrypt a data key with the first key."""
        if len(data_key) != DATA_KEY_SIZE:
            raise ValueError("a data key has 32 bytes")
        nonce = os.urandom(_NONCE_END - 1)

        def encrypt() -> bytes:
            return bytes(self._open()[0].encrypt(data_key, **_gcm(nonce, aad)))

        sealed = self._tried_twice(encrypt)
        if len(sealed) != _WRAPPED_SIZE - _NONCE_END:
            raise StartupError(f"{self} does not do AES-GCM as PKCS#11 has it")
        return _FORMAT + nonce + sealed

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Decrypt a wrapped data key with whichever key opens it."""
        if len(wrapped) != _WRAPPED_SIZE or wrapped[:1] != _FORMAT:
            raise SealBroken
        parameters = _gcm(wrapped[1:_NONCE_END], aad)
        self._tried_twice(self._alive)
        for key in self._keys:
            try:
                data_key = bytes(key.decrypt(wrapped[_NONCE_END:], **parameters))
            except PKCS11Error:
                # A wrong tag is an error of another kind with each maker, SoftHSM's the general
                # one. That the token lives has just been seen.
                continue
            if len(data_key) == DATA_KEY_SIZE:
                return data_key
        raise SealBroken

    def _alive(self) -> bytes:
        """Encrypt a byte and throw the result away: only a living session can."""
        return bytes(self._open()[0].encrypt(bytes(1), **_gcm(os.urandom(12), b"")))

    def _tried_twice(self, call: Callable[[], bytes]) -> bytes:
        """Make a call, and once more in a new session: one ends with the HSM's restart."""
        try:
            return call()
        except PKCS11Error:
            self._close()
        try:
            return call()
        except PKCS11Error as error:
            self._close()
            raise KeyServiceUnavailable(f"{self} cannot be used: {type(error).__name__}") from None

    def _open(self) -> Sequence[_AesKey]:
        if self._session is not None:
            return self._keys
        settings = self._settings
        try:
            library = pkcs11.lib(str(settings.module))
        except (PKCS11Error, RuntimeError):
            raise SettingsError(
                f"SERVICE_KMS_PKCS11_MODULE: {settings.module} cannot be loaded"
            ) from None
        with self._tries.turn():
            try:
                token = library.get_token(token_label=settings.token)
            except NoSuchToken:
                library.reinitialize()  # else it would not see one that is put in later
                raise KeyServiceUnavailable(f"there is no PKCS#11 token {settings.token}") from None
            session = self._session = self._log_in(library, token)
        try:
            self._keys = [_find(session, label) for label in settings.keys]
        except StartupError:
            self._close()
            raise
        return self._keys

    def _log_in(self, library: Any, token: pkcs11.Token) -> pkcs11.Session:
        """Open a session, with one try of the PIN, and none where that could lock the token."""
        if token.flags & (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY):
            locked = token.flags & TokenFlag.USER_PIN_LOCKED
            raise self._refused("PinLocked" if locked else "that the next wrong PIN locks it")
        if token.flags & TokenFlag.USER_PIN_COUNT_LOW:
            log.warning("pin", reason="a wrong PIN was given since the last right one", tries=1)
        try:
            return token.open(user_pin=self._settings.pin)
        except UserAlreadyLoggedIn:  # PKCS#11 logs in a process, not a session
            return token.open()
        except _PIN_ERRORS as error:
            raise self._refused(type(error).__name__) from None
        except PKCS11Error as error:
            # Each maker has an error of their own for a wrong PIN; the token's flags tell it.
            if self._flags(library) & _WARNINGS & ~token.flags:
                raise self._refused(type(error).__name__) from None
            raise KeyServiceUnavailable(f"{self} cannot be used: {type(error).__name__}") from None

    def _flags(self, library: Any) -> TokenFlag:
        with suppress(PKCS11Error):
            flags: TokenFlag = library.get_token(token_label=self._settings.token).flags
            return flags
        return TokenFlag(0)

    def _refused(self, answer: str) -> StartupError:
        """Note that the PIN is never to be tried again, as a few wrong ones lock the token."""
        why = f"SERVICE_KMS_PKCS11_PIN: the token answers {answer}"
        self._tries.refuse(why)
        return StartupError(why)

    def _close(self) -> None:
        session, self._session, self._keys = self._session, None, []
        if session is not None:
            with suppress(PKCS11Error):  # it is gone already
                session.close()


def _find(session: pkcs11.Session, label: str) -> _AesKey:
    try:
        found: Any = session.get_key(
            object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=label
        )
    except (NoSuchKey, MultipleObjectsReturned) as error:
        number = "no" if isinstance(error, NoSuchKey) else "more than one"
        raise StartupError(
            f"SERVICE_KMS_PKCS11_KEY: the token has {number} AES key {label!r}"
        ) from None
    if found[Attribute.EXTRACTABLE] or not found[Attribute.SENSITIVE]:
        raise StartupError(
            f"SERVICE_KMS_PKCS11_KEY: the key {label!r} can be read out of the token; make one"
            " that is sensitive and not extractable"
        )
    key: _AesKey = found
    return key


def _gcm(nonce: bytes, aad: bytes) -> dict[str, object]:
    return {
        "mechanism": Mechanism.AES_GCM,
        "mechanism_param": GCMParams(nonce, _FORMAT + aad, _TAG_BITS),
    }
