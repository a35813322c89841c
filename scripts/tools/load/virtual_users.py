"""Virtual users: an account, one session, and its chain of tokens."""

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec

from tools.seed.line import Line

_MOMENT = 0.01


class Account(msgspec.Struct):
    """A user of the service. Several virtual users may share it, in sessions of their own."""

    email: str
    password: str
    sessions: int = 1
    enrolling: bool = False
    """While the second factor is on or on its way, when a login would ask for a code."""

    def __repr__(self) -> str:
        return "Account()"


class VirtualUser(msgspec.Struct):
    """A session and its newest tokens. `expires_at` is in Unix seconds, of the access token."""

    account: Account
    refresh_token: str = ""
    access_token: str = ""
    expires_at: float = 0
    line: Line | None = None
    """Of the token file that this one is from."""
    over: bool = False
    """The session has ended, or may have."""

    def __repr__(self) -> str:
        return "VirtualUser()"


class UserPool:
    """Who is there. Whoever runs a scenario is nobody else's: no chain of tokens forks.

    The one who was idle for longest goes first, so everybody gets a turn. Behind those who are
    there, others wait to take the place of whoever leaves for good.
    """

    def __init__(self, users: Iterable[VirtualUser], at_once: int) -> None:
        self.present = 0
        """How many are there, idle or in a scenario."""
        self._idle = deque[VirtualUser]()
        self._reserve = deque(users)
        self._waiting = deque[asyncio.Future[VirtualUser | None]]()
        self._at_once = at_once
        self._fill()

    @property
    def reserve(self) -> int:
        """How many could still come."""
        return len(self._reserve)

    def join(self, users: Iterable[VirtualUser]) -> None:
        """Let more users wait to take a place."""
        self._reserve.extend(users)
        self._fill()

    async def take(self) -> VirtualUser | None:
        """Take a user for a scenario; wait while all are in one. None once nobody is left."""
        if self._idle:
            return self._idle.popleft()
        if not self.present:
            return None
        turn: asyncio.Future[VirtualUser | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        return await turn

    async def take_unenrolled(self) -> VirtualUser | None:
        """Take a user whose account neither has a second factor nor is getting one."""
        while True:
            for _ in range(len(self._idle)):
                if not self._idle[0].account.enrolling:
                    return self._idle.popleft()
                self._idle.rotate(-1)
            user = await self.take()
            if user is None or not user.account.enrolling:
                return user
            self.give_back(user)
            await asyncio.sleep(_MOMENT)

    def give_back(self, user: VirtualUser) -> None:
        """Return a user whose scenario is done."""
        if not self._hand_over(user):
            self._idle.append(user)

    def arrive(self, user: VirtualUser) -> None:
        """Add a user with a session of their own."""
        self.present += 1
        self.give_back(user)

    def leave(self) -> None:
        """Drop a user who was taken. Somebody of the reserve comes instead."""
        self.present -= 1
        self._fill()
        while not self.present and self._hand_over(None):
            pass

    def everybody(self) -> list[VirtualUser]:
        """List all who are idle or wait for a place; after a run, all whose session lives."""
        return [*self._idle, *self._reserve]

    def _hand_over(self, user: VirtualUser | None) -> bool:
        """Give a user to whoever has waited longest. Whether somebody waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # a scenario that was given up waits no more
                turn.set_result(user)
                return True
        return False

    def _fill(self) -> None:
        while self._reserve and self.present < self._at_once:
            self.arrive(self._reserve.popleft())
