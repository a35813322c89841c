"""Scenarios of a mix: what a virtual user does who arrives."""

import time
from urllib.parse import parse_qs, urlsplit

import pyotp

from tools.load.calls import Calls
from tools.load.virtual_users import UserPool, VirtualUser

_SOON = 30.0
"""Seconds before its end at which a client no longer trusts an access token."""

_MANY = 20
"""Sessions of an account after which who logs in leaves an old one: at 50 the oldest would go."""


class Scenarios:
    """Each method is a scenario. `due` is when it should have begun."""

    def __init__(self, calls: Calls, pool: UserPool) -> None:
        self._calls = calls
        self._pool = pool

    async def run(self, scenario: str, due: float) -> bool:
        """Run it. False: there was nobody to run it with."""
        anybody = scenario not in ("login", "enrolment")
        user = await (self._pool.take() if anybody else self._pool.take_unenrolled())
        if user is None:
            return False
        await _SCENARIOS[scenario](self, user, due)
        if user.over:
            user.account.sessions -= 1
            self._pool.leave()
        else:
            self._pool.give_back(user)
        return True

    async def prepare(self, user: VirtualUser, due: float) -> tuple[bool, float]:
        """Refresh if the access token is about to end, as clients do; what follows is due then."""
        if not self.is_stale(user):
            return True, due
        return await self._calls.refresh(user, due), time.perf_counter()

    def is_stale(self, user: VirtualUser) -> bool:
        """Whether the access token has ended or is about to."""
        return user.expires_at - time.time() <= _SOON

    async def _me(self, user: VirtualUser, due: float) -> None:
        fresh, due = await self.prepare(user, due)
        if fresh:
            await self._calls.me(user, due)

    async def _refresh(self, user: VirtualUser, due: float) -> None:
        await self._calls.refresh(user, due)

    async def _logout(self, user: VirtualUser, due: float) -> None:
        fresh, due = await self.prepare(user, due)
        if fresh and await self._calls.logout(user, due):
            user.over = True

    async def _login(self, user: VirtualUser, due: float) -> None:
        other = await self._calls.log_in(user, due)
        if other is None:
            return
        user.account.sessions += 1
        self._pool.arrive(other)
        if user.account.sessions > _MANY:
            await self._logout(user, time.perf_counter())

    async def _enrolment(self, user: VirtualUser, due: float) -> None:
        user.account.enrolling = True
        fresh, due = await self.prepare(user, due)
        if fresh and await self._enrol(user, due):  # else the factor may be on
            user.account.enrolling = False

    async def _enrol(self, user: VirtualUser, due: float) -> bool:
        """Turn it on with this step's code and off with the next one's: each code counts once."""
        enrolment = await self._calls.enable(user, due)
        if enrolment is None:
            return False
        phone = pyotp.TOTP(parse_qs(urlsplit(enrolment.otpauth_url).query)["secret"][0])
        now, secret_id = int(time.time()), enrolment.temp_secret_id
        if not await self._calls.verify(user, secret_id, phone.at(now), time.perf_counter()):
            return False
        return await self._calls.disable(user, phone.at(now + phone.interval), time.perf_counter())


_SCENARIOS = {
    "me": Scenarios._me,
    "refresh": Scenarios._refresh,
    "logout": Scenarios._logout,
    "login": Scenarios._login,
    "enrolment": Scenarios._enrolment,
}
