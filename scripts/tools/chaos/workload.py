"""What people and thieves do with sessions, at random. Each habit is one thing, done to its end."""

import asyncio
from collections.abc import Awaitable, Callable

from tools.chaos import account_habits, second_factor
from tools.chaos.client import Held, Person
from tools.chaos.history import Kind
from tools.chaos.requests import Answer, Device

_MOST_DEVICES = 4
_PACE = 0.04
"""The longest pause between two things that a person does, in seconds."""


async def live(person: Person) -> None:
    """Do one thing after the other until `stopped`."""
    while not person.stopped:
        await _next(person)(person)
        await asyncio.sleep(person.chance.uniform(0, _PACE))


def _next(person: Person) -> Callable[[Person], Awaitable[None]]:
    if not person.devices:
        return log_in
    weights: dict[Callable[[Person], Awaitable[None]], float] = {
        refresh: 30,
        look: 20,
        log_in: 16 if len(person.devices) < _MOST_DEVICES else 0,
        log_out: 12,
        revoke: 5,
        log_out_everywhere: 2,
        account_habits.prove: 5,
        account_habits.change_password: 5,
        account_habits.be_disabled: 2,
        account_habits.be_logged_out: 1,
        account_habits.delete: 1,
        account_habits.see_everybody_cut_off: 0.1,
        present_spent: 2,
        try_ended: 12 if person.over else 0,
        second_factor.enrol: 12 if person.phone is None else 0,
        begin_anew: 1,
    }
    return person.chance.choices(list(weights), list(weights.values()))[0]


async def log_in(person: Person) -> None:
    """Open another session. Whoever is locked out signs up for another account."""
    answer = await person.log_in_somehow()
    if answer.is_open:
        await person.pause()
    elif answer.code == "account_disabled":  # and nobody has learnt of it
        await person.have_done("users_enable")
    elif "challengeId" in answer.body:
        await second_factor.answer(person, answer.body["challengeId"])
    elif answer.is_ok:
        person.devices.append(answer.device())
        person.phone = None  # if there was one, the account is older than it by now
    else:
        await person.sign_up()


async def begin_anew(person: Person) -> None:
    """Open another account; what is held of this one is kept."""
    await person.sign_up()


async def refresh(person: Person) -> None:
    """Exchange a token, sometimes in several tabs at once, until it is known what became of it."""
    device = person.choose()
    while True:
        tabs = person.chance.choice((1, 1, 1, 2, 3))
        answers = await asyncio.gather(
            *(person.present(device, device.refresh) for _ in range(tabs))
        )
        if _settled(person, device, answers) or person.stopped:
            return
        await person.pause()


def _settled(person: Person, device: Device, answers: list[Answer]) -> bool:
    for answer in answers:
        person.note(device, answer)
    good = next((answer for answer in answers if answer.is_ok), None)
    if good is not None:
        device.spent, device.refresh = device.refresh, good.body["refreshToken"]
        device.access = good.body["accessToken"]
    return good is not None or device not in person.devices


async def look(person: Person) -> None:
    """Ask who one is, or for all sessions, or an app."""
    device = person.choose()
    if person.chance.random() < 0.2:
        await person.app_pod.send(person.email, device)
        return
    kind: Kind = "list" if person.chance.random() < 0.3 else "me"
    person.note(device, await person.send(kind, by=device))


async def log_out(person: Person) -> None:
    """End one session, through this or another device."""
    device, by = person.choose(), person.choose()
    body = {"refreshToken": device.refresh}
    answer = await person.send_until_known("logout", body, by=by, session=device.session)
    if not answer.is_open:
        person.end(device)


async def revoke(person: Person) -> None:
    """End one session by its id."""
    device, by = person.choose(), person.choose()
    answer = await person.send_until_known("revoke", by=by, session=device.session)
    person.note(by, answer)
    if answer.is_ok or answer.code == "session_not_found":
        person.end(device)


async def log_out_everywhere(person: Person) -> None:
    """End all sessions, or all others."""
    by, keeps = person.choose(), person.chance.random() < 0.5
    body = {"keepCurrent": keeps}
    answer = await person.send_until_known("logout_all", body, by=by, keeps=keeps)
    person.note(by, answer)
    if answer.is_ok:
        person.end_all(but=by if keeps else None)


async def present_spent(person: Person) -> None:
    """Do what a thief does, or a client that has lost an answer."""
    device = person.choose()
    if device.spent:
        person.note(device, await person.present(device, device.spent))


async def try_ended(person: Person) -> None:
    """Use what is left of a session that is over."""
    await use(person, person.chance.choice(person.over))


async def use(person: Person, held: Held, pod: int | None = None) -> Answer:
    """Ask for something with one of the tokens of a device."""
    device = held.device
    chance = person.chance.random()
    if chance < 0.4:
        return await person.present(device, device.refresh, email=held.email, pod=pod)
    if chance < 0.6:
        return await person.app_pod.send(held.email, device)
    return await person.send("me", by=device, email=held.email, pod=pod)
