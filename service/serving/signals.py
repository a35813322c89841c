"""The handling of signals in a program that has to stop in order, from its first moment on."""

import signal
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask to stop."""

_AS_SIGTERM = tuple(
    getattr(signal, name)
    for name in ("SIGHUP", "SIGQUIT", "SIGXCPU", "SIGPWR")  # SIGPWR: LXC's request to stop
    if hasattr(signal, name)
)
_WITHOUT_MEANING = tuple(
    number
    for number in signal.valid_signals()
    if number
    in {
        getattr(signal, name, None)
        for name in (
            *("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF"),
            *("SIGIO", "SIGPOLL", "SIGSTKFLT", "SIGEMT", "SIGLOST"),
        )
    }
    or number >= getattr(signal, "SIGRTMIN", signal.NSIG)
)

HELD = frozenset({*STOPS, *_AS_SIGTERM, *_WITHOUT_MEANING})
"""All that would end a process without handlers, and its children with nobody to end them."""


class StartStopped(Exception):
    """A signal asked to stop while the start waited for something, which the text names."""


class Stop:
    """Notes that a signal asked to stop. Nothing is interrupted half-way: long waits ask it.

    uvicorn puts its own handlers in place while it serves and repeats the signal afterwards; then
    these are there again, and what is left to stop gets stopped.

    It is made before anything that takes time: to process 1 of a container the kernel does not
    deliver a signal that has no handler.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._deferred = False
        self._before = {number: signal.getsignal(number) for number in HELD}
        for number in STOPS:
            signal.signal(number, self._note)
        for number in _AS_SIGTERM:
            if self._before[number] is signal.SIG_DFL:  # not under nohup
                signal.signal(number, _as_sigterm)
        ignore_what_has_no_meaning()

    def __call__(self) -> bool:
        return self._asked is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = number
        if not self._deferred:
            raise SystemExit(0)

    def defer(self) -> None:
        """Only note signals from now on: something has begun that has to be stopped in order.

        Until here one ends the program at once. There was nothing but imports.
        """
        self._deferred = True

    def give_back(self) -> None:
        """Have signals do what they did before. One that came meanwhile comes again."""
        for number, handler in self._before.items():
            if handler is not None:  # else it was not Python's
                signal.signal(number, handler)
        if self._asked is not None:
            signal.raise_signal(self._asked)


def _as_sigterm(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)  # to whoever has that one now


def ignore_what_has_no_meaning() -> None:
    """Let signals that ask for nothing here do nothing. Children get the defaults again."""
    for number in _WITHOUT_MEANING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda *_: None)


def be_a_worker() -> None:
    """Ignore signals to the process group as well: a worker is told to stop by its parent."""
    for number in _AS_SIGTERM:
        signal.signal(number, signal.SIG_IGN)
    ignore_what_has_no_meaning()
