"""The keys of a running process: a set of them as of now, and the one place that keeps it so."""

from collections.abc import Callable
from dataclasses import dataclass, field

from service.keyring.envelope import Keyring
from service.keyring.signing import SigningKeys


@dataclass(frozen=True, slots=True, eq=False)
class ServiceKeys:
    """Every key that the service needs while it runs; `repr` shows none of them.

    Keys that others name by number come as `{id: 32 bytes}`, ids 1 to 255, with the id of the one
    to use for what is new.
    """

    keyring: Keyring
    signing: SigningKeys
    refresh_mac_keys: dict[int, bytes] = field(repr=False)
    refresh_mac_current: int
    peppers: dict[int, bytes] = field(repr=False)
    pepper_current: int
    email_digest_key: bytes = field(repr=False)

    @classmethod
    def closed(cls, signing: SigningKeys) -> "ServiceKeys":
        """Make the keys that there are while the key service is away: public ones, nothing else."""
        return cls(Keyring.closed(), signing, {}, 0, {}, 0, b"")


class KeysInUse:
    """The keys that this process uses, handed on to their users whenever they change.

    `keyring` is one and the same object all along. All of it happens on the event loop, between
    two awaits, so that nobody sees half a change.
    """

    def __init__(self, keys: ServiceKeys) -> None:
        self.now = keys
        self.keyring = Keyring.closed()
        self.keyring.adopt(keys.keyring)
        self._users: list[Callable[[ServiceKeys], None]] = []

    def follow(self, use: Callable[[ServiceKeys], None]) -> None:
        """Have `use` called with the keys, now and after each change."""
        use(self.now)
        self._users.append(use)

    def replace(self, keys: ServiceKeys) -> None:
        """Use other keys from now on."""
        self.now = keys
        self.keyring.adopt(keys.keyring)
        for use in self._users:
            use(keys)
