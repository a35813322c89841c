"""What people do with their account, and operators with that of others. Each habit to its end."""

from typing import Any

from tools.chaos.client import Person
from tools.chaos.history import fingerprint


async def prove(person: Person) -> None:
    """Prove anew who one is, through one of the sessions.

    Asked once: a code counts once, and after a lost answer a refresh gives the same successor.
    """
    device = person.choose()
    body = {"refreshToken": device.refresh}
    known: dict[str, Any] = {
        "session": device.session,
        "presented": fingerprint(device.refresh),
    }
    if person.phone is None:
        body["password"] = person.password
        known["password"] = fingerprint(person.password)
    else:
        shown = person.phone.answer()
        if shown is None:  # all used up
            return
        body["code"] = shown.code
        known |= shown.facts
    answer = await person.send("reauthenticate", body, by=device, **known)
    person.note(device, answer)
    if answer.is_ok:
        device.spent, device.refresh = device.refresh, answer.body["refreshToken"]
        device.access = answer.body["accessToken"]


async def change_password(person: Person) -> None:
    """Choose another password. Whoever does not learn whether it counts may try both."""
    by, old, new = person.choose(), person.password, person.invent_password()
    body = {"currentPassword": old, "newPassword": new}
    known = {"password": fingerprint(old), "new_password": fingerprint(new)}
    answer = await person.send_until_known("password_change", body, by=by, **known)
    person.note(by, answer)
    if answer.is_ok:
        person.end_all()
        person.believe(new)
        person.devices.append(answer.device())
    elif answer.is_open or answer.code in ("unauthorized", "invalid_password"):
        person.believe(new)


async def be_logged_out(person: Person) -> None:
    """Have an operator end all sessions."""
    if (await person.have_done("users_logout")).is_ok:
        person.end_all()


async def be_disabled(person: Person) -> None:
    """Have an operator disable the account, try to get in all the same, and have it enabled."""
    answer = await person.have_done("users_disable")
    if answer.code == "user_not_found":  # it was lost
        await person.sign_up()
        return
    if answer.is_ok:
        person.end_all()
        for held in person.over[-2:]:
            await person.present(held.device, held.device.refresh, email=held.email)
            await person.send("me", by=held.device, email=held.email)
        await person.log_in()
    await person.have_done("users_enable")


async def delete(person: Person) -> None:
    """Delete the account, or have it deleted, and begin anew."""
    if person.chance.random() < 0.5:
        answer = await person.have_done("users_delete")
    else:
        by = person.choose()
        answer = await person.send_until_known("account_delete", by=by)
        if answer.code == "insufficient_user_authentication":
            return
    if answer.is_ok:
        person.end_all()
        await person.log_in()
    await person.sign_up()


async def see_everybody_cut_off(person: Person) -> None:
    """Have an operator end the sessions of everybody. Others learn of it as they go on."""
    answer = await person.operators.send("cutoff")
    if answer.is_ok:
        person.end_all()
