"""Key services, which wrap data keys: what one must do, and how several of them serve as one."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, Protocol

from service.errors import KeyServiceUnavailable, SealBroken, ServiceError, StartupError
from service.keyring.envelope import DATA_KEY_SIZE
from service.tracing.spans import span

FORMATS = {b"\x01": "local", b"\x02": "aws", b"\x03": "vault", b"\x04": "pkcs11"}
"""The key service that has wrapped a data key, by the first byte of the result."""

DEADLINE = timedelta(seconds=10)
"""The longest that a call to a key service takes, all its tries and logins included."""


class KeyProvider(Protocol):
    """A key service: it holds a key that never leaves it, and with that wraps data keys.

    Both methods may block, so they are called from a thread of their own, at the start and when
    keys change, never for a request. `aad` is readable text, because some key services write it
    to their audit log. `str(provider)` names it in a message to the operator, who also reads what
    the errors say.

    Raises:
        KeyServiceUnavailable: it does not answer, or refuses until an operator changes something
            there: sealed, token expired, key disabled. The service goes on trying.
        StartupError: an operator has to change something here; the start stops.
    """

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        """Wrap a data key (32 bytes). The result begins with the provider's byte in `FORMATS`."""

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Unwrap a data key.

        Raises:
            SealBroken: damaged, wrapped by another key, or under another `aad`.
        """


class KeyServices:
    """The key service that wraps, and those that unwrap what they have wrapped before.

    So the data keys can move from one key service to another while pods come and go: each key is
    unwrapped by whoever has wrapped it. The others are made when they are first needed.
    """

    def __init__(self, current: str, make: Callable[[str], KeyProvider]) -> None:
        self.current = current
        self._make = make
        self._providers = {current: make(current)}

    def __str__(self) -> str:
        return str(self._providers[self.current])

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        """Have the current key service wrap a data key."""
        with span(f"wrap by {self.current}", rare=True):
            return self._providers[self.current].wrap(data_key, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Have the key service that has wrapped a data key unwrap it."""
        name = wrapped_by(wrapped)
        if name not in self._providers:
            try:
                self._providers[name] = self._make(name)
            except StartupError as error:
                raise type(error)(
                    f"a data key is still wrapped by {name}, which is not set up: {error}"
                ) from None
        with span(f"unwrap by {name}", rare=True):
            return self._providers[name].unwrap(wrapped, aad)


def wrapped_by(wrapped: bytes) -> str:
    """Name the key service that has wrapped a data key. Raises `SealBroken`."""
    name = FORMATS.get(wrapped[:1])
    if name is None:
        raise SealBroken
    return name


class WithDeadline:
    """A provider that answers or fails within a deadline, whatever the one that it wraps does.

    All calls run on one thread of their own, one after the other: PKCS#11 sessions belong to a
    thread. It is a daemon, so that a call which never ends does not keep the process from ending.
    """

    def __init__(self, inner: KeyProvider, deadline: timedelta = DEADLINE) -> None:
        self._inner = inner
        self._deadline = deadline
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def __str__(self) -> str:
        return str(self._inner)

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        """Wrap as the provider inside does, or fail within the deadline."""
        if len(data_key) != DATA_KEY_SIZE:
            raise ValueError("a data key has 32 bytes")  # the caller's mistake, no outage
        return self._in_time(self._inner.wrap, data_key, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Unwrap as the provider inside does, or fail within the deadline."""
        return self._in_time(self._inner.unwrap, wrapped, aad)

    def _in_time(self, method: Callable[[bytes, bytes], bytes], *arguments: Any) -> bytes:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="key service", daemon=True)
            self._thread.start()
        answer: Future[bytes] = Future()

        def call() -> None:
            if not answer.set_running_or_notify_cancel():
                return  # whoever asked has given up
            try:
                answer.set_result(method(*arguments))
            except BaseException as error:  # raised again where it was asked for
                answer.set_exception(error)

        self._calls.put(call)
        try:
            return answer.result(self._deadline.total_seconds())
        except TimeoutError:
            answer.cancel()
            raise KeyServiceUnavailable(f"{self} does not answer in time") from None
        except ServiceError:
            raise
        except Exception as error:
            # Whatever a library makes of an answer. `from None`: it may hold what was sent.
            raise KeyServiceUnavailable(
                f"{self} cannot be used: its answer is not understood ({type(error).__name__})"
            ) from None

    def _serve(self) -> None:
        while True:
            self._calls.get()()
