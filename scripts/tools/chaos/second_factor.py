"""Turning the second factor on, and logging in with it, honestly and otherwise."""

import asyncio

from tools.chaos.authenticator import Phone, Shown
from tools.chaos.client import Person
from tools.chaos.history import fingerprint
from tools.chaos.requests import Answer


async def enrol(person: Person) -> None:
    """Turn the second factor on. Whoever does not learn whether it is on signs up anew."""
    device = person.choose()
    answer = await person.send("enable", by=device)
    person.note(device, answer)
    if not answer.is_ok:
        return
    phone = Phone(answer.body["tempSecretId"], answer.body["otpauthUrl"], person.chance)
    step = phone.fresh_step()
    assert step  # noqa: S101  there always is one for a new secret
    shown = phone.show(step)
    alone = person.chance.random() < 0.5
    body = {"tempSecretId": phone.secret, "code": shown.code, "endOtherSessions": alone}
    answer = await person.send_until_known("verify", body, by=device, keeps=alone, **shown.facts)
    if answer.is_ok:
        if alone:
            person.end_all(but=device)
        phone.recovery_codes = list(answer.body["recoveryCodes"])
        person.phone = person.phones[person.email] = phone
    elif not person.stopped:
        await person.sign_up()


async def answer(person: Person, challenge: str) -> None:
    """Answer a challenge; sometimes two at once, with one code."""
    shown = person.phone.answer() if person.phone else None
    if shown is None:  # all used up
        await person.sign_up()
        return
    challenges = [challenge]
    if person.chance.random() < 0.3:
        other = await person.log_in()
        challenges += [other.body["challengeId"]] if "challengeId" in other.body else []
        person.devices += [other.device()] if "accessToken" in other.body else []
    answers = await asyncio.gather(*(present(person, each, shown) for each in challenges))
    person.devices.extend(answer.device() for answer in answers if answer.is_ok)
    if any(answer.code == "rate_limited" for answer in answers):
        await person.sign_up()


async def present(person: Person, challenge: str, shown: Shown, email: str = "") -> Answer:
    """Answer a challenge once."""
    body = {"challengeId": challenge, "code": shown.code}
    known = {"challenge": fingerprint(challenge), **shown.facts}
    return await person.send("answer", body, email=email, **known)
