"""Runs verifiers for apps without an event loop of their own: each in a thread that has one.

A token about which nothing need be found out is judged in the thread that asks. All else is done in
the verifier's thread, which starts with the first request that has a credential; after a fork (a
server that loads the app before its workers) each process has one of its own.
"""

import asyncio
import atexit
import os
import sys
import threading
from typing import Any
from weakref import WeakKeyDictionary

from .authentication import Refused, identify, unavailable
from .identity import Identity
from .options import check_verifier
from .verifier import Verifier

_PATIENCE = 60.0
"""Seconds for an answer. All that is waited for has a shorter end of its own."""

_threads: "WeakKeyDictionary[Verifier, VerifierThread]" = WeakKeyDictionary()
_left_behind: list[Any] = []
"""Event loops of the process that this one was forked from. To close one, or to have it collected,
would take its files out of the other process' epoll."""


class VerifierThread:
    """A verifier in a thread of its own."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def identify(self, token: str) -> Identity:
        """Find out whose token it is.

        Raises:
            Refused: nobody who may pass, or it cannot be known at the moment.
        """
        known = self._verifier.known(token)
        if known is not None:
            return known
        loop = self._running()
        asked = asyncio.run_coroutine_threadsafe(identify(self._verifier, token), loop)
        try:
            return asked.result(_PATIENCE)
        except TimeoutError:
            asked.cancel()
            raise Refused(unavailable(1)) from None

    async def identify_from_loop(self, token: str) -> Identity:
        """Find out whose token it is, from another event loop, which goes on meanwhile."""
        known = self._verifier.known(token)
        return known if known is not None else await asyncio.to_thread(self.identify, token)

    def close(self) -> None:
        """Leave the verifier and end its thread."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        leaving = self._verifier.__aexit__(None, None, None)
        left = asyncio.run_coroutine_threadsafe(leaving, loop)
        try:
            left.result(_PATIENCE)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE)
            loop.close()

    def abandon(self) -> None:
        """Know nothing of a thread that this process does not have, as it was forked."""
        _left_behind.append((self._loop, self._thread))
        self._loop = self._thread = None
        self._lock = threading.Lock()
        self._verifier.forget_run()

    def _running(self) -> asyncio.AbstractEventLoop:
        """Return its event loop; start it where there is none. All who ask wait for that start."""
        with self._lock:
            if self._loop is None:
                _refuse_green_threads()
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=loop.run_forever, name="openshow-guard", daemon=True
                )
                self._thread.start()
                self._loop = loop
                started = asyncio.run_coroutine_threadsafe(
                    self._verifier.start_late(expected=True), loop
                )
                started.result(_PATIENCE)
            return self._loop


def thread_of(verifier: Verifier) -> VerifierThread:
    """Return the one thread that a verifier has in this process. It starts when it is asked.

    Raises:
        ValueError: it is no verifier.
    """
    check_verifier(verifier)
    return _threads.setdefault(verifier, VerifierThread(verifier))


def _refuse_green_threads() -> None:
    """Raise RuntimeError where threads are none: an event loop would keep all requests waiting."""
    monkey = sys.modules.get("gevent.monkey") or sys.modules.get("eventlet.patcher")
    is_patched = getattr(monkey, "is_module_patched", None) or getattr(
        monkey, "is_monkey_patched", None
    )
    if is_patched is not None and is_patched("threading"):
        raise RuntimeError(
            "the guard needs real threads, and gevent or eventlet has replaced them: leave "
            "`thread` unpatched, or run a server with worker threads"
        )


def _close_all() -> None:
    for thread in list(_threads.values()):
        thread.close()


def _abandon_all() -> None:
    for thread in list(_threads.values()):
        thread.abandon()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_abandon_all)
