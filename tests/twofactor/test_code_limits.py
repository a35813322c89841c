"""Ten wrong codes in fifteen minutes for a person, over all challenges and processes: TOTP codes at
login, TOTP codes in sessions, and recovery codes."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import ServiceProcess, code_of

from tests.support.looking import ON_VALKEY, events
from tests.support.run_queue import Stopwatch
from tests.support.two_factor import Holder, let_steps_pass, new_holder

INVALID = (401, "invalid_code")
WRONG = (400, "invalid_code")
LIMITED = (429, "rate_limited")
UNAVAILABLE = (503, "service_unavailable")


async def test_two_hundred_racing_wrong_codes(
    bob: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer
) -> None:
    """Over forty challenges and two processes ten are judged; then right ones wait too, with a
    new challenge, at any process, from any address that is claimed."""
    challenges = [await bob.challenge() for _ in range(40)]
    wrong, since = bob.phone.wrong(), Stopwatch()
    answers = await asyncio.gather(
        *(bob.answer(challenges[n // 5], wrong, (bob.client, elsewhere)[n % 2]) for n in range(200))
    )
    counted = Counter(map(code_of, answers))
    assert counted.pop(INVALID) == 10
    assert counted.keys() <= {LIMITED, UNAVAILABLE}, "the last of so many may be late"
    failed = [row for row in events(keys, bob.user_id) if row["type"] == "twoFA.challengeFailed"]
    assert len(failed) == 10
    code = bob.phone.code(1)
    for number, client in enumerate([bob.client, elsewhere]):
        spoofed = {"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": "for=192.0.2.1"}
        answer = await bob.answer(await bob.challenge(), code, client, **spoofed)
        assert code_of(answer) == LIMITED
        assert 899 - since.all <= int(answer.headers["retry-after"]) <= 900
    assert await bob.two_fa() == (True, 10)
    eve = await (await new_holder(bob.client)).enrol()
    assert (await eve.answer(await eve.challenge(), eve.phone.code(1))).status_code == 200


async def test_one_limit_over_all_doors(
    ann: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer
) -> None:
    """Wrong TOTP codes through sessions add up over enrolment, renewal and disabling; a new
    enrolment in between does not help; the sessions go on, and so does the login."""
    for _ in range(2):
        await ann.begin()
        for _ in range(2):
            assert code_of(await ann.verify(ann.phone.wrong())) == WRONG
    await ann.enrol()
    wrong = ann.phone.wrong()
    for client in (ann.client, elsewhere, ann.client):
        assert code_of(await ann.disable(wrong, client)) == WRONG
        assert code_of(await ann.renew(wrong, client)) == WRONG
    for refused in (ann.disable(ann.phone.code(1), elsewhere), ann.renew(ann.phone.code(1))):
        assert code_of(await refused) == LIMITED
    assert (await ann.me()).status_code == 200
    assert (await ann.refresh()).status_code == 200
    assert code_of(await ann.enable()) == (400, "already_enabled"), "the state comes first"
    assert code_of(await ann.answer("unknown", wrong)) == (401, "challenge_not_found")
    assert code_of(await ann.answer(await ann.challenge(), wrong)) == INVALID
    assert (await ann.answer(await ann.challenge(), ann.phone.code(1))).status_code == 200


@ON_VALKEY
@pytest.mark.parametrize("odd", ["", "1234567", "123456 ", "\uff11" * 6])
async def test_what_is_not_six_digits_counts_as_a_recovery_code(
    bob: Holder, elsewhere: httpx.AsyncClient, odd: str
) -> None:
    """Ten over login, disabling and renewal, apart from TOTP codes at login and in sessions."""
    challenges, since = [await bob.challenge() for _ in range(2)], Stopwatch()
    for number in range(4):
        assert code_of(await bob.answer(challenges[number % 2], odd)) == INVALID
        assert code_of(await bob.disable(odd, elsewhere)) == WRONG
    for _ in range(2):
        assert code_of(await bob.renew(odd)) == WRONG
    for refused in (
        bob.answer(challenges[0], bob.recovery_codes[0], elsewhere),
        bob.disable(bob.recovery_codes[0]),
        bob.renew(odd),
    ):
        answer = await refused
        assert code_of(answer) == LIMITED
        assert 899 - since.all <= int(answer.headers["retry-after"]) <= 900
    assert code_of(await bob.disable(bob.phone.wrong())) == WRONG
    assert (await bob.answer(challenges[0], bob.phone.code(1))).status_code == 200


async def keep_out(bob: Holder) -> None:
    """Enter wrong TOTP codes at login until it is closed."""
    for _ in range(2):
        challenge = await bob.challenge()
        for _ in range(5):
            assert code_of(await bob.answer(challenge, bob.phone.wrong())) == INVALID
    assert code_of(await bob.answer(await bob.challenge(), bob.phone.wrong())) == LIMITED


@ON_VALKEY
@pytest.mark.parametrize("proof", ["recovery at login", "recovery in a session", "totp"])
async def test_a_right_one_elsewhere_opens_the_login(
    bob: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer, proof: str
) -> None:
    """Strangers with the password keep nobody out who has a recovery code or a living session; a
    wrong code there opens nothing."""
    await keep_out(bob)
    assert code_of(await bob.answer(await bob.challenge(), bob.recovery_codes[1][:-1])) == INVALID
    assert code_of(await bob.renew(bob.phone.wrong())) == WRONG
    assert code_of(await bob.answer(await bob.challenge(), bob.phone.code(1))) == LIMITED
    match proof:
        case "totp":
            assert (await bob.renew(bob.phone.code(1), elsewhere)).status_code == 200
        case "recovery at login":
            answer = await bob.answer(await bob.challenge(), bob.recovery_codes[0], elsewhere)
            assert answer.status_code == 200
        case _:
            assert (await bob.disable(bob.recovery_codes[0])).status_code == 204
            await bob.enrol()
    let_steps_pass(keys)
    assert (await bob.answer(await bob.challenge(), bob.phone.code())).status_code == 200
    await keep_out(bob)


async def test_verify_is_limited_as_well(ann: Holder, elsewhere: httpx.AsyncClient) -> None:
    """Enrolling anew after each five does not give more than ten."""
    for _ in range(2):
        await ann.begin()
        for _ in range(5):
            assert code_of(await ann.verify(ann.phone.wrong(), client=elsewhere)) == WRONG
    await ann.begin()
    for client in (ann.client, elsewhere):
        answer = await ann.verify(client=client)
        assert code_of(answer) == LIMITED
        assert int(answer.headers["retry-after"]) > 880
    assert await ann.two_fa() == (False, 0)


async def test_right_codes_do_not_count(bob: Holder, keys: RedisServer) -> None:
    """After nine wrong ones any number of right ones is let in, and they give nothing back."""
    for _ in range(3):
        challenge = await bob.challenge()
        for _ in range(3):
            assert code_of(await bob.answer(challenge, bob.phone.wrong())) == INVALID
    for _ in range(3):
        let_steps_pass(keys)
        assert (await bob.answer(await bob.challenge(), bob.phone.code())).status_code == 200
    assert code_of(await bob.answer(await bob.challenge(), bob.phone.wrong())) == INVALID
    let_steps_pass(keys)
    assert code_of(await bob.answer(await bob.challenge(), bob.phone.code(1))) == LIMITED


@ON_VALKEY
async def test_many_wrong_ones_at_every_door(
    bob: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer
) -> None:
    """Raced at once over login, disabling and renewal, ten are judged at login and ten in all of
    the session."""
    wrong = bob.phone.wrong()
    challenges = [await bob.challenge() for _ in range(8)]
    doors: list[Callable[[Any], Awaitable[httpx.Response]]] = []
    for challenge in challenges:
        doors += [
            lambda client, c=challenge: bob.answer(c, wrong, client),  # type: ignore[misc]
            lambda client: bob.disable(wrong, client),
            lambda client: bob.renew(wrong, client),
        ]
    answers = await asyncio.gather(*(d(c) for d in doors for c in (bob.client, elsewhere)))
    codes = Counter(answer.status_code for answer in answers)
    assert (codes[401], codes[400]) == (10, 10)
    assert codes[429] == len(answers) - 20


@pytest.fixture
def limits_are_off(shared_service: ServiceProcess) -> None:
    """These services run with the limits per address turned off."""
    assert shared_service._environment["SERVICE_RATE_LIMIT"] == "off"


@pytest.mark.usefixtures("limits_are_off")
@ON_VALKEY
async def test_rate_limit_off_does_not_turn_it_off(bob: Holder) -> None:
    """The limit on codes stays."""
    for _ in range(2):
        challenge = await bob.challenge()
        for _ in range(5):
            assert code_of(await bob.answer(challenge, bob.phone.wrong())) == INVALID
    assert code_of(await bob.answer(await bob.challenge(), bob.phone.code(1))) == LIMITED
