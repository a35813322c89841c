"""A person with several devices: what they hold, and how an honest client asks.

An honest client that has got no answer asks again with the same token, at whatever pod, until it
knows. Each person has a random generator of their own, so what they try follows from the seed as
far as the answers do.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from tools.chaos.authenticator import Phone
from tools.chaos.history import Kind, fingerprint
from tools.chaos.requests import Answer, Device, Requests

PASSWORD = "correct horse battery"  # noqa: S105  of people who do not exist


class Held(msgspec.Struct, frozen=True):
    """A device, and the account that it belongs to."""

    email: str
    device: Device


class Person:
    """One account after another: whoever is locked out of one signs up for the next."""

    def __init__(self, name: str, requests: Requests, chance: random.Random) -> None:
        self.chance = chance
        self.email = ""
        self.emails: list[str] = []
        self.devices: list[Device] = []
        self.over: list[Held] = []
        """Devices whose session has ended."""
        self.left: list[Held] = []
        """Devices of earlier accounts, whose sessions live."""
        self.phone: Phone | None = None
        self.phones: dict[str, Phone] = {}
        """By e-mail address."""
        self.stopped = False
        self._name = name
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
        while True:
            answer = await self.send(kind, body, **known)
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

    async def log_in(self) -> Answer:
        """Take the password step, once."""
        return await self.send("login", {"email": self.email, "password": PASSWORD})

    async def sign_up(self) -> None:
        """Open a new account, tried until it is there."""
        self.left.extend(Held(self.email, device) for device in self.devices)
        self.devices, self.phone = [], None
        self.email = f"{self._name}.{len(self.emails)}@example.com"
        self.emails.append(self.email)
        credentials = {"email": self.email, "password": PASSWORD}
        answer = await self.send_until_known("signup", credentials)
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

    def note(self, device: Device, answer: Answer) -> None:
        """Believe an answer that says that the session of `device` is over."""
        if answer.code in ("unauthorized", "invalid_refresh_token", "refresh_token_reused"):
            self.end(device)
