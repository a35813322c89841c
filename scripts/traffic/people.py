"""Virtual people: an account, one session, and its chain of tokens."""

from collections import deque
from collections.abc import Iterable

import gevent
import msgspec
from gevent.event import AsyncResult

_MOMENT = 0.01


class Account(msgspec.Struct):
    """A user of the service. Several people may be the same user, in sessions of their own."""

    email: str
    password: str
    sessions: int = 1
    enrolling: bool = False
    """While the second factor is on or on its way, when a login would ask for a code."""

    def __repr__(self) -> str:
        return "Account()"


class Person(msgspec.Struct):
    """A session and its newest tokens. `expires_at` is in Unix seconds, of the access token."""

    account: Account
    refresh_token: str
    access_token: str
    expires_at: float
    user: str = ""
    session: str = ""
    """As the file calls them that this person is from; empty for everybody else."""
    over: bool = False
    """The session has ended, or may have."""

    def __repr__(self) -> str:
        return "Person()"


class Crowd:
    """Who is there. Somebody who is on an errand is nobody else's: no chain of tokens forks.

    The one who was idle for longest goes first, so everybody gets a turn. Behind those who are
    there, others wait to take the place of whoever leaves for good.
    """

    def __init__(self, people: Iterable[Person], at_once: int) -> None:
        self._idle = deque[Person]()
        self._reserve = deque(people)
        self._waiting = deque[AsyncResult]()
        self._present = 0
        self._at_once = at_once
        self._fill()

    @property
    def present(self) -> int:
        """How many are there, idle or on an errand."""
        return self._present

    @property
    def reserve(self) -> int:
        """How many could still come."""
        return len(self._reserve)

    def join(self, people: Iterable[Person]) -> None:
        """More people wait to take a place."""
        self._reserve.extend(people)
        self._fill()

    def take(self) -> Person | None:
        """Somebody for an errand; waits while all are on one. None once nobody is left."""
        if self._idle:
            return self._idle.popleft()
        if not self._present:
            return None
        turn = AsyncResult()
        self._waiting.append(turn)
        person: Person | None = turn.get()
        return person

    def take_unenrolled(self) -> Person | None:
        """The same, but nobody whose account has a second factor, or is getting one."""
        while True:
            for _ in range(len(self._idle)):
                if not self._idle[0].account.enrolling:
                    return self._idle.popleft()
                self._idle.rotate(-1)
            person = self.take()
            if person is None or not person.account.enrolling:
                return person
            self.give_back(person)
            gevent.sleep(_MOMENT)

    def give_back(self, person: Person) -> None:
        """The errand is done."""
        if self._waiting:
            self._waiting.popleft().set(person)
        else:
            self._idle.append(person)

    def arrive(self, person: Person) -> None:
        """Somebody new, with a session of their own."""
        self._present += 1
        self.give_back(person)

    def leave(self) -> None:
        """Who was taken does not come back. Somebody of the reserve comes instead."""
        self._present -= 1
        self._fill()
        while self._waiting and not self._present:
            self._waiting.popleft().set(None)

    def everybody(self) -> list[Person]:
        """All who are idle or wait for a place; after a run, all whose session lives."""
        return [*self._idle, *self._reserve]

    def _fill(self) -> None:
        while self._reserve and self._present < self._at_once:
            self.arrive(self._reserve.popleft())
