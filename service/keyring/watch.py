"""Keeps the keys of a process as the database has them, while it runs."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog

from service.clock import Clock
from service.errors import (
    KeyServiceRefused,
    KeyServiceUnavailable,
    StartupError,
    StoreUnavailable,
)
from service.keyring.keys import KeysInUse
from service.keyring.kms.provider import KeyProvider
from service.keyring.records import KeyLives, KeyRecords, ages
from service.keyring.store import KeyStore
from service.keyring.token_key_rotation import TokenKeyRotation
from service.keyring.unsealing import UnsealedKeys, public_only
from service.repeating import repeat

log = structlog.get_logger()

POLL = timedelta(seconds=2)
"""How often the tables are looked at: what another process has changed counts here after that."""

_SHORTEST, _LONGEST = timedelta(seconds=0.5), timedelta(seconds=15)
"""Waits between two calls to a key service that is away: the first, and how far they double."""

_SLOWER, _SLOWEST = timedelta(seconds=4), timedelta(seconds=30)
"""The same for one that refuses until an operator changes something: asking often does not help."""

_CALM = timedelta(seconds=0.2)
"""The least time between two looks, however often a blob of an unknown epoch asks for one."""


_NOT_OPEN = "The keys are not open: the key service cannot be used."
_NEWEST_NOT_OPEN = "The newest data key is not open: the key service cannot be used."


class KeyWatch:
    """The keys in use, and the task that keeps them current.

    Without the key service a process starts with the public keys alone, and asks again until it
    answers. Once the keys are open, the key service is asked for new data keys and nothing else; if
    it is away then, or the database is, the keys that are open stay in use.
    """

    def __init__(
        self,
        store: KeyStore,
        provider: KeyProvider,
        clock: Clock,
        lives: KeyLives,
        rotation: TokenKeyRotation,
    ) -> None:
        self._store = store
        self._provider = provider
        self._clock = clock
        self._lives = lives
        self._rotation = rotation
        self._open: UnsealedKeys | None = None
        self._wake = asyncio.Event()
        self._wait = _SHORTEST
        self._shown: tuple[Any, ...] = ()
        self.keys: KeysInUse
        self._ask_at = 0.0
        self._reason = ""
        self._failed = False
        self._had_keys = False
        self.problem = ""
        """What keeps the keys from being as they should, in a sentence; empty when all is well."""

    @property
    def blocking(self) -> str:
        """The problem, if it keeps this process from sealing or from reading what others seal.

        While all that is refused is a data key under which nobody can have sealed, or few have,
        what is open goes on to be used, and the process is ready.
        """
        usable = self._open and self._open.refused and not self._failed
        return "" if usable else self.problem

    def ages(self) -> dict[str, float]:
        """Return the ages of the keys in use, in seconds, by use; nothing while none is open."""
        stored = self._open.stored if self._open else None
        return ages(stored, self._clock(), self._lives) if stored else {}

    async def start(self) -> KeysInUse:
        """Load the keys of this process, open if the key service answers.

        Raises:
            StartupError: what is stored does not open, or a setting is wrong.
            StoreUnavailable: the database cannot be reached.
        """
        try:
            self._open = await self._store.open(self._provider, self._clock)
            self._had_keys = True
            keys = self._open.at(self._clock(), self._lives)
            self._complain_of_refused(self._open)
        except KeyServiceUnavailable as error:
            self._complain(_NOT_OPEN, error)
            stored = await self._store.read()
            self._had_keys = bool(stored.data_keys)
            keys = public_only(stored, self._clock(), self._lives)
        self.keys = KeysInUse(keys)
        self.keys.keyring.on_unknown_epoch = self._wake.set
        return self.keys

    async def run(self) -> None:
        """Look at the tables again and again, until it is cancelled."""
        calm = _CALM.total_seconds()
        await asyncio.sleep(calm)
        await repeat("keys", self._look_when_due, calm)

    async def _look_when_due(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause()):
                await self._wake.wait()
        self._wake.clear()
        await self._look(ask=time.monotonic() >= self._ask_at)

    def _pause(self) -> float:
        """Return the seconds until the next look: never many, since others change the tables."""
        if self._open is None:
            return self._wait.total_seconds()
        return (min(self._wait, POLL) if self.problem else POLL).total_seconds()

    async def _look(self, *, ask: bool = True) -> None:
        """Look at the tables, and `ask` the key service again for what it has refused."""
        try:
            if self._open:  # whatever happens next: time alone makes one key follow another
                self._show(self._open)
            stored = await self._store.read()
            if self._open and stored.data_keys != self._open.stored.data_keys:
                # At once: opening the others may take long, or fail.
                self._open.forget_lost(stored)
                self._show(self._open)
            refused = self._open.refused if self._open else {}
            if self._open is None or not self._open.is_current(stored) or (refused and ask):
                await self._reopen(stored, () if ask else refused)
            if self._open:
                self._show(self._open)
                await self._rotation.rotate_aged(self._open, self._lives)
        except KeyServiceUnavailable as error:
            self._fail(_NEWEST_NOT_OPEN if self._open else _NOT_OPEN, error)
        except StoreUnavailable:
            pass  # the part `users` of readiness tells; what is open stays in use
        except StartupError as error:  # too late to stop: others may need this process
            self._fail(
                "A key in the database does not open; see the log." if self._open else _NOT_OPEN,
                error,
            )
        else:
            self._settle(ask)

    def _settle(self, ask: bool) -> None:
        """Forget the last problem after a look that went well, but for keys that were refused."""
        self._failed = False
        if self._open and self._open.refused:
            self._complain_of_refused(self._open)
            if ask:
                self._wait_longer(next(iter(self._open.refused.values())))
        else:
            self.problem, self._wait, self._ask_at = "", _SHORTEST, 0.0

    def _fail(self, problem: str, error: Exception) -> None:
        """Note that what the tables hold cannot be used as it has to be."""
        self._failed = True
        self._complain(problem, error)
        self._wait_longer(error)

    def _wait_longer(self, error: Exception) -> None:
        lasting = isinstance(error, (KeyServiceRefused, StartupError))
        shortest, longest = (_SLOWER, _SLOWEST) if lasting else (_SHORTEST, _LONGEST)
        self._wait = max(shortest, min(2 * self._wait, longest))
        self._ask_at = time.monotonic() + self._wait.total_seconds()

    async def _reopen(self, stored: KeyRecords, resting: Collection[int]) -> None:
        self._had_keys = self._had_keys or bool(stored.data_keys)
        self._open = await self._store.open(
            self._provider, self._clock, self._open, resting, make=not self._had_keys
        )
        log.info("keys open", epochs=sorted(self._open.data_keys))

    def _show(self, opened: UnsealedKeys) -> None:
        """Hand the keys on if they, or what time makes of them, have changed."""
        keys = opened.at(self._clock(), self._lives)
        shown = (
            opened,
            list(opened.data_keys),
            keys.keyring.current_epoch,
            keys.signing.active.kid,
            list(keys.signing.public_keys()),
            keys.refresh_mac_current,
            list(keys.refresh_mac_keys),
        )
        if shown != self._shown:
            self._shown = shown
            self.keys.replace(keys)

    def _complain_of_refused(self, opened: UnsealedKeys) -> None:
        for error in opened.refused.values():
            self._complain(_NEWEST_NOT_OPEN, error)

    def _complain(self, problem: str, error: Exception) -> None:
        # The reason may become another, and then it is what the operator has to read.
        if (problem, str(error)) != (self.problem, self._reason):
            log.warning("keys", problem=problem, reason=str(error))
        self.problem, self._reason = problem, str(error)
