"""A process as far as keys go: it loads them, and looks at the tables when it is told to."""

from typing import Any

from service.keyring.keys import KeysInUse
from service.keyring.records import KeyLives
from service.keyring.store import KeyStore
from service.keyring.token_key_rotation import TokenKeyRotation
from service.keyring.watch import KeyWatch
from service.sessions.refresh_tokens import RefreshTokens
from tests.keyring.conftest import DataDir, SetClock


class Pod:
    """A process' keys, and its look at the tables."""

    def __init__(self, data_dir: DataDir, clock: SetClock, provider: Any = None) -> None:
        store, provider = KeyStore(data_dir.engine), provider or data_dir.provider
        rotation = TokenKeyRotation(data_dir.engine, clock)
        self.watch = KeyWatch(store, provider, clock, KeyLives(), rotation)

    async def start(self) -> "Pod":
        self.keys: KeysInUse = await self.watch.start()
        return self

    async def look(self) -> None:
        await self.watch._look()

    def seal(self) -> bytes:
        return self.keys.keyring.seal(b"text", purpose="test", bound_to=b"x")

    def opens(self, blob: bytes) -> bool:
        return self.keys.keyring.open(blob, purpose="test", bound_to=b"x") == b"text"

    def refresh_tokens(self) -> RefreshTokens:
        """The refresh tokens of this process, which follow its keys."""
        tokens = RefreshTokens({}, 0)
        self.keys.follow(lambda now: tokens.use(now.refresh_mac_keys, now.refresh_mac_current))
        return tokens
