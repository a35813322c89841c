"""A person with several devices: what they hold, and how an honest client asks.

An honest client that has got no answer asks again with the same token, at whatever pod, until it
knows. Each person has a random generator of their own, so what they try follows from the seed as
far as the answers do.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from tools.chaos.app_pod import AppPod
from tools.chaos.authenticator import Phone
from tools.chaos.history import Kind, fingerprint
from tools.chaos.operators import Operators
from tools.chaos.requests import Answer, Device, Requests

_MOST_PASSWORDS = 3
"""That a person who is unsure tries. Ten wrong ones in 15 minutes lock an account."""


class Held(msgspec.Struct, frozen=True):
    """A device, and the account that it belongs to."""

    email: str
    device: Device


class Person:
    """One account after another: whoever is locked out of one signs up for the next."""

    def __init__(
        self,
        name: str,
        requests: Requests,
        operators: Operators,
        app_pod: AppPod,
        chance: random.Random,
    ) -> None:
        self.chance = chance
        self.operators = operators
        self.app_pod = app_pod
        self.email = ""
        self.emails: list[str] = []
        self.devices: list[Device] = []
        self.over: list[Held] = []
        """Devices whose session has ended."""
        self.left: list[Held] = []
        """Devices of earlier accounts, whose sessions live."""
        self.passwords: dict[str, list[str]] = {}
        """By e-mail address; the one that is most likely right first."""
        self.phone: Phone | None = None
        self.phones: dict[str, Phone] = {}
        """By e-mail address."""
        self.stopped = False
        self._name = name
        self._invented = 0
        self._requests = requests

    async def send(
        self,
        kind: Kind,
        body: Mapping[str, Any] | None = None,
        *,
        email: str = "",
        pod: int | None = None,
        **known: Any,
    ) -> Answer:
        """Send a request once, to any pod where none is named."""
        pod = self.chance.randrange(self._requests.pods) if pod is None else pod
        return await self._requests.send(kind, email or self.email, pod, body, **known)

    async def send_until_known(
        self, kind: Kind, body: Mapping[str, Any] | None = None, **known: Any
    ) -> Answer:
        """Send it again and again while the answer leaves open whether it took effect."""
        return await self._until_known(lambda: self.send(kind, body, **known))

    async def have_done(self, kind: Kind) -> Answer:
        """Have an operator do something with the account until the answer tells what came of it."""
        return await self._until_known(lambda: self.operators.send(kind, self.email))

    async def _until_known(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        while True:
            answer = await ask()
            if not answer.is_open or self.stopped:
                return answer
            await self.pause()

    async def pause(self) -> None:
        """Wait before asking again."""
        await asyncio.sleep(self.chance.uniform(0.05, 0.3))

    async def present(
        self, device: Device, token: str, *, email: str = "", pod: int | None = None
    ) -> Answer:
        """Ask for the successor of a refresh token of this device."""
        known = {"session": device.session, "presented": fingerprint(token)}
        return await self.send("refresh", {"refreshToken": token}, email=email, pod=pod, **known)

    @property
    def password(self) -> str:
        """The one that is most likely right."""
        return self.passwords[self.email][0]

    def invent_password(self) -> str:
        """Make a password that nobody has ever had."""
        self._invented += 1
        return f"correct horse {self._name} {self._invented}"

    def believe(self, password: str) -> None:
        """Take a password for the right one. What was right before may be so again, after a restore
        or a change that had no answer."""
        others = [each for each in self.passwords.get(self.email, []) if each != password]
        self.passwords[self.email] = [password, *others][:_MOST_PASSWORDS]

    async def log_in(self, password: str = "", *, email: str = "") -> Answer:
        """Take the password step, once."""
        email = email or self.email
        password = password or self.passwords[email][0]
        body = {"email": email, "password": password}
        return await self.send("login", body, email=email, password=fingerprint(password))

    async def log_in_somehow(self) -> Answer:
        """Take the password step with each of the passwords that may be right."""
        for password in tuple(self.passwords[self.email]):
            answer = await self.log_in(password)
            if answer.code != "invalid_credentials":
                self.believe(password)
                break
        return answer

    async def sign_up(self) -> None:
        """Open a new account, tried until it is there."""
        self.left.extend(Held(self.email, device) for device in self.devices)
        self.devices, self.phone = [], None
        self.email = f"{self._name}.{len(self.emails)}@example.com"
        self.emails.append(self.email)
        self.believe(self.invent_password())
        body = {"email": self.email, "password": self.password}
        known = {"password": fingerprint(self.password)}
        answer = await self.send_until_known("signup", body, **known)
        if answer.is_ok:
            self.devices.append(answer.device())

    def choose(self) -> Device:
        """Choose one of the devices that are signed in."""
        return self.chance.choice(self.devices)

    def end(self, device: Device) -> None:
        """Note that its session is over."""
        if device in self.devices:
            self.devices.remove(device)
            self.over.append(Held(self.email, device))

    def end_all(self, *, but: Device | None = None) -> None:
        """Note that all sessions are over, or all others."""
        for device in tuple(self.devices):
            if device is not but:
                self.end(device)

    def note(self, device: Device, answer: Answer) -> None:
        """Believe an answer that says that the session of `device` is over."""
        if answer.code in ("unauthorized", "invalid_refresh_token", "refresh_token_reused"):
            self.end(device)
