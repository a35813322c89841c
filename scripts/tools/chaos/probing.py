"""What is asked when everything is healed: whether each promise still holds, on every pod."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from tools.chaos import second_factor
from tools.chaos.app_pod import AppPod
from tools.chaos.authenticator import Phone
from tools.chaos.client import Held, Person
from tools.chaos.requests import Answer, Requests
from tools.http_load.concurrently import gather

PATIENCE = 20.0
"""Seconds in which a healed service must answer whatever it is asked."""

GUARDS_SERVE = 30.0
"""Seconds in which guards must serve again when the service is ready."""

_MOST_BUSY = 6.0
"""How many times as long it may take on a machine that others keep busy, at the most."""

_MOST_ENDED = 300
_AT_ONCE = 12


def patience(seconds: float) -> float:
    """Return how long to wait for what takes so many seconds where processors are free.

    Whoever is starved of them has not failed, and is not what is being looked for.
    """
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * min(max(busy, 1.0), _MOST_BUSY)


class NotHealed(Exception):
    """The service goes on answering that it is not available. The message says whom."""


async def probe(people: Iterable[Person], pods: int, chance: random.Random) -> None:
    """Use every session that should live, many that should not, and every account.

    Raises:
        NotHealed
    """
    jobs: list[Callable[[], Awaitable[None]]] = []
    for person in people:
        held = [*person.left, *(Held(person.email, device) for device in person.devices)]
        jobs.extend(partial(_living, person, each, pods) for each in held)
        ended = chance.sample(person.over, min(len(person.over), _MOST_ENDED))
        jobs.extend(partial(_ended, person, each, pods) for each in ended)
        jobs.extend(partial(_account, person, email) for email in person.emails)
    await gather(lambda job: job(), jobs, _AT_ONCE)


async def until_ready(requests: Requests) -> None:
    """Wait until all pods say that they are ready.

    Raises:
        NotHealed
    """
    for pod in range(requests.pods):
        deadline = requests.now() + (allowed := patience(PATIENCE))
        while not (await requests.send("ready", "", pod)).is_ok:
            if requests.now() > deadline:
                raise NotHealed(f"pod {pod} is not ready after {allowed:.0f} s")
            await asyncio.sleep(0.2)


async def until_guards_serve(app_pod: AppPod) -> None:
    """Wait until all guards know what has ended.

    Raises:
        NotHealed
    """
    until = time.monotonic() + (allowed := patience(GUARDS_SERVE))
    while lost := app_pod.lost():
        if time.monotonic() > until:
            raise NotHealed(f"guards have no feed after {allowed:.0f} s: {'; '.join(lost)}")
        await asyncio.sleep(0.2)


async def _ended(person: Person, held: Held, pods: int) -> None:
    """Ask each pod, and an app, with both tokens of a session that is over."""
    device = held.device
    for pod in range(pods):
        await _until_known(partial(person.send, "me", by=device, email=held.email, pod=pod))
    await _until_known(lambda: person.present(device, device.refresh, email=held.email))
    await person.app_pod.send(held.email, device)


async def _living(person: Person, held: Held, pods: int) -> None:
    """Use a session that should live: its token is good, and then its ancestor is not any more."""
    device = held.device

    async def present(token: str) -> str:
        """Ask for the successor, if there is one."""
        answer = await _until_known(lambda: person.present(device, token, email=held.email))
        return answer.body["refreshToken"] if answer.is_ok else ""

    for pod in range(pods):
        await _until_known(partial(person.send, "me", by=device, email=held.email, pod=pod))
    ancestor = device.refresh
    successor = await present(ancestor)
    if not successor:
        return
    await present(ancestor)  # within the grace, most of the time: the same successor
    latest = await present(successor)
    await present(ancestor)  # ends the session
    await person.send("me", by=device, email=held.email)
    if latest:
        await present(latest)


async def _account(person: Person, email: str) -> None:
    """Use an account: its password is right, those of before are wrong, and its recovery codes are
    good, each once."""
    passwords = list(person.passwords[email])

    async def log_in() -> str:
        """Ask for the challenge, if there is one."""
        answer = await _until_known(lambda: person.log_in(passwords[0], email=email))
        while answer.code == "invalid_credentials" and len(passwords) > 1:
            passwords.pop(0)
            answer = await _until_known(lambda: person.log_in(passwords[0], email=email))
        return str(answer.body.get("challengeId", ""))

    phone: Phone | None = person.phones.get(email)
    challenge = await log_in()
    shown = phone.recovery() if phone else None
    if challenge and shown:
        await second_factor.present(person, challenge, shown, email)
        await second_factor.present(person, await log_in(), shown, email)
    for password in passwords[1:]:
        await _until_known(partial(person.log_in, password, email=email))


async def _until_known(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (allowed := patience(PATIENCE))
    while (answer := await ask()).is_open:
        if loop.time() > deadline:
            raise NotHealed(f"still {answer.code} after {allowed:.0f} s")
        await asyncio.sleep(0.1)
    return answer
