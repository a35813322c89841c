"""Opens the keys in the database: the key service unwraps data keys, those open all others."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from service.clock import milliseconds
from service.errors import KeyServiceRefused, KeyServiceUnavailable, SealBroken, StartupError
from service.keyring import signing
from service.keyring.envelope import Keyring, epoch_of
from service.keyring.keys import ServiceKeys
from service.keyring.kms.provider import FORMATS, KeyProvider
from service.keyring.records import (
    EMAIL_DIGEST,
    PEPPER,
    REFRESH_MAC,
    SIGNING,
    DataKey,
    KeyLives,
    KeyRecords,
    SealedKey,
    current_epoch,
    in_use,
)
from service.keyring.signing import SigningKeys

_NAMED_BY = {
    byte: "SERVICE_KMS_LOCAL_KEY_FILE" if name == "local" else f"SERVICE_KMS_{name.upper()}_KEY"
    for byte, name in FORMATS.items()
}
"""The setting that names the top key, by the first byte of what it has wrapped."""


class UnsealedKeys:
    """All keys of a database, opened. Each data key was unwrapped once.

    The newest data keys may be missing, when the key service does not unwrap them and nothing that
    the service itself needs is sealed under them: `refused` tells why, by epoch.
    """

    def __init__(
        self,
        stored: KeyRecords,
        data_keys: dict[int, bytes],
        refused: Mapping[int, KeyServiceUnavailable] | None = None,
    ) -> None:
        """Open what is sealed. Raises `StartupError` when something is lost or does not open."""
        self.stored = stored
        self.data_keys = data_keys
        self.refused = dict(refused or {})
        keyring = Keyring(data_keys)
        self._secrets = {
            use: {key.id: _open(keyring, key) for key in _some(use, keys)}
            for use, keys in stored.sealed_keys.items()
        }
        self._private: dict[int, EllipticCurvePrivateKey] = {
            key_id: signing.from_der(der) for key_id, der in self._secrets[SIGNING].items()
        }
        for key in stored.sealed_keys[SIGNING]:
            if key.public is not None and key.public != self.public(key.id):
                raise StartupError(
                    f"the public part of the signing key {key.id} in the table sealed_keys is not"
                    " its own: somebody has changed it; restore it"
                )

    def public(self, key_id: int) -> bytes:
        """Return the public part of a signing key, as it is stored."""
        return signing.public_to_der(self._private[key_id].public_key())

    def current_epoch(self, now: int) -> int:
        """Find the epoch that seals at `now`, ms since 1970: the newest active one that is open."""
        return current_epoch([k for k in self.stored.data_keys if k.epoch in self.data_keys], now)

    def is_current(self, stored: KeyRecords) -> bool:
        """Tell whether this is what is `stored`, and nothing of it was forgotten."""
        known = self.data_keys.keys() | self.refused.keys()
        return stored == self.stored and all(key.epoch in known for key in stored.data_keys)

    def forget_lost(self, stored: KeyRecords) -> None:
        """Forget the data keys that are not `stored` any more: what they seal opens nowhere else.

        They were retired, or a database was restored, in which epochs may have been begun anew.
        """
        kept = {key.epoch: self.data_key(key) for key in stored.data_keys}
        self.data_keys = {epoch: key for epoch, key in kept.items() if key is not None}

    def data_key(self, key: DataKey) -> bytes | None:
        """Return the data key of this row, if it is open here.

        The epoch alone does not tell: after a restore it may have been begun anew.
        """
        for known in self.stored.data_keys:
            if known.epoch == key.epoch and (
                known.created_at == key.created_at or known.wrapped == key.wrapped
            ):
                return self.data_keys.get(key.epoch)
        return None

    def at(self, moment: datetime, lives: KeyLives) -> ServiceKeys:
        """Choose the keys to use at a moment."""
        now = milliseconds(moment)
        signing_keys, signer = in_use(self._keys(SIGNING), now, lives.after(SIGNING))
        macs, mac = in_use(self._keys(REFRESH_MAC), now, lives.after(REFRESH_MAC))
        peppers, pepper = in_use(self._keys(PEPPER), now, None)
        digest = in_use(self._keys(EMAIL_DIGEST), now, None)[1]
        return ServiceKeys(
            keyring=self._keyring(now),
            signing=SigningKeys(
                [self._private[key.id] for key in signing_keys], signing_keys.index(signer)
            ),
            refresh_mac_keys={key.id: self._secrets[REFRESH_MAC][key.id] for key in macs},
            refresh_mac_current=mac.id,
            peppers={key.id: self._secrets[PEPPER][key.id] for key in peppers},
            pepper_current=pepper.id,
            email_digest_key=self._secrets[EMAIL_DIGEST][digest.id],
        )

    def _keyring(self, now: int) -> Keyring:
        if not self.data_keys:
            return Keyring.closed()
        return Keyring(self.data_keys, self.current_epoch(now))

    def _keys(self, use: str) -> tuple[SealedKey, ...]:
        return self.stored.sealed_keys[use]


def unseal_all(
    provider: KeyProvider,
    stored: KeyRecords,
    known: UnsealedKeys | None = None,
    resting: Collection[int] = (),
) -> UnsealedKeys:
    """Open everything that is stored. Blocks while the key service is asked.

    Data keys that are `known` are not asked for again, nor are the epochs in `resting`, which were
    refused before.

    Raises:
        KeyServiceUnavailable, StartupError
    """
    data_keys: dict[int, bytes] = {}
    refused: dict[int, KeyServiceUnavailable] = {}
    for key in stored.data_keys:
        found = known.data_key(key) if known else None
        if found is None and known and key.epoch in resting and key.epoch in known.refused:
            refused[key.epoch] = known.refused[key.epoch]
            continue
        try:
            data_keys[key.epoch] = found or unwrap(provider, key)
        except KeyServiceUnavailable as error:
            refused[key.epoch] = error
    _refuse_gaps(stored, data_keys, refused)
    return UnsealedKeys(stored, data_keys, refused)


def _refuse_gaps(
    stored: KeyRecords, data_keys: Mapping[int, bytes], refused: Mapping[int, KeyServiceUnavailable]
) -> None:
    """Raise what was refused, unless it is the newest epochs alone and no key is sealed there."""
    sealed: set[int] = set()
    for key in (key for keys in stored.sealed_keys.values() for key in keys):
        with suppress(SealBroken):  # told where it is opened
            sealed.add(epoch_of(key.sealed))
    for epoch, error in refused.items():
        if epoch in sealed or epoch < max(data_keys, default=epoch + 1):
            raise error


def public_only(stored: KeyRecords, moment: datetime, lives: KeyLives) -> ServiceKeys:
    """Choose what can be used of the keys while none of them is open."""
    now = milliseconds(moment)
    keys = stored.sealed_keys[SIGNING]
    kept = in_use(keys, now, lives.after(SIGNING))[0] if keys else []
    ders = [key.public for key in kept if key.public is not None]
    return ServiceKeys.closed(SigningKeys.public_only(map(signing.public_from_der, ders)))


def unwrap(provider: KeyProvider, key: DataKey) -> bytes:
    """Unwrap a data key.

    Raises:
        KeyServiceUnavailable
        StartupError: the key service is not the one that was used with this database.
    """
    try:
        return provider.unwrap(key.wrapped, wrap_aad(key.epoch))
    except SealBroken:
        named_by = _NAMED_BY.get(key.wrapped[:1], "SERVICE_KMS")
        raise StartupError(
            f"{provider} does not open the data keys of this database (epoch {key.epoch}): put back"
            f" the one that was used with it, or name it in {named_by}"
        ) from None


def wrap_new(provider: KeyProvider, data_key: bytes, epoch: int) -> bytes:
    """Wrap a new data key, and make sure that it unwraps: else all under it would be lost.

    Raises:
        KeyServiceUnavailable, StartupError
    """
    wrapped = provider.wrap(data_key, wrap_aad(epoch))
    try:
        again = provider.unwrap(wrapped, wrap_aad(epoch))
    except SealBroken:
        again = b""
    if again != data_key:
        raise KeyServiceRefused(f"{provider} does not give back what it has wrapped")
    return wrapped


def wrap_aad(epoch: int) -> bytes:
    """Spell what a wrapped data key is bound to."""
    # Readable, because some key services write it to their audit log.
    return f"openshow-auth data key, epoch {epoch}".encode()


def bound_to(key_id: int) -> bytes:
    """Spell what a sealed key is bound to, besides its use."""
    return str(key_id).encode()


def _some(use: str, keys: tuple[SealedKey, ...]) -> tuple[SealedKey, ...]:
    if not keys:
        raise StartupError(f"the database has lost its {use} key: restore the table sealed_keys")
    return keys


def _open(keyring: Keyring, key: SealedKey) -> bytes:
    try:
        return keyring.open(key.sealed, purpose=key.use, bound_to=bound_to(key.id))
    except SealBroken:
        raise StartupError(
            f"the {key.use} key {key.id} in the table sealed_keys does not open: restore it"
        ) from None
