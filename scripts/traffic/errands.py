"""What somebody does who arrives: an errand of the mix, with whom the crowd has for it."""

import time
from urllib.parse import parse_qs, urlsplit

import pyotp

from traffic.calls import Calls
from traffic.people import Crowd, Person

_SOON = 30.0
"""Seconds before its end at which a client no longer trusts an access token."""

_MANY = 20
"""Sessions of an account after which who logs in leaves an old one: at 50 the oldest would go."""


class Errands:
    """Each method is an errand. `due` is when it should have begun."""

    def __init__(self, calls: Calls, crowd: Crowd) -> None:
        self._calls = calls
        self._crowd = crowd

    def run(self, errand: str, due: float) -> bool:
        """Do it. False: there was nobody to do it with."""
        anybody = errand not in ("login", "enrolment")
        person = self._crowd.take() if anybody else self._crowd.take_unenrolled()
        if person is None:
            return False
        _DONE[errand](self, person, due)
        if person.over:
            person.account.sessions -= 1
            self._crowd.leave()
        else:
            self._crowd.give_back(person)
        return True

    def prepare(self, person: Person, due: float) -> tuple[bool, float]:
        """Refresh if the access token is about to end, as clients do; what follows is due then."""
        if not self.is_stale(person):
            return True, due
        return self._calls.refresh(person, due), time.perf_counter()

    def is_stale(self, person: Person) -> bool:
        """Whether the access token has ended or is about to."""
        return person.expires_at - time.time() <= _SOON

    def _me(self, person: Person, due: float) -> None:
        fresh, due = self.prepare(person, due)
        if fresh:
            self._calls.me(person, due)

    def _refresh(self, person: Person, due: float) -> None:
        self._calls.refresh(person, due)

    def _logout(self, person: Person, due: float) -> None:
        fresh, due = self.prepare(person, due)
        if fresh and self._calls.logout(person, due):
            person.over = True

    def _login(self, person: Person, due: float) -> None:
        other = self._calls.log_in(person, due)
        if other is None:
            return
        person.account.sessions += 1
        self._crowd.arrive(other)
        if person.account.sessions > _MANY:
            self._logout(person, time.perf_counter())

    def _enrolment(self, person: Person, due: float) -> None:
        person.account.enrolling = True
        fresh, due = self.prepare(person, due)
        if fresh and self._enrol(person, due):  # else the factor may be on
            person.account.enrolling = False

    def _enrol(self, person: Person, due: float) -> bool:
        """On with the code of this step and off with that of the next: each code counts once."""
        enrolment = self._calls.enable(person, due)
        if enrolment is None:
            return False
        phone = pyotp.TOTP(parse_qs(urlsplit(enrolment.otpauth_url).query)["secret"][0])
        now, secret_id = int(time.time()), enrolment.temp_secret_id
        if not self._calls.verify(person, secret_id, phone.at(now), time.perf_counter()):
            return False
        return self._calls.disable(person, phone.at(now + phone.interval), time.perf_counter())


_DONE = {
    "me": Errands._me,
    "refresh": Errands._refresh,
    "logout": Errands._logout,
    "login": Errands._login,
    "enrolment": Errands._enrolment,
}
