"""Recovery codes: ten, shown once, kept as digests, each good for one thing once."""

import asyncio
import hashlib
import hmac
import re

import httpx
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import code_of

from service.errors import KeyServiceUnavailable
from service.twofactor import recovery_codes
from service.twofactor.recovery_codes import RecoveryDigests
from tests.support.two_factor import Holder, let_steps_pass, new_holder
from tests.support.user_stores import UserStore

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
INVALID = (401, "invalid_code")


def test_spelling() -> None:
    """80 bits, most significant first, in four groups of Crockford's letters."""
    assert recovery_codes.spell(bytes(10)) == "0000-0000-0000-0000"
    assert recovery_codes.spell(b"\xff" * 10) == "ZZZZ-ZZZZ-ZZZZ-ZZZZ"
    assert recovery_codes.spell(bytes(9) + b"\x21") == "0000-0000-0000-0011"
    for code in recovery_codes.new_codes():
        spelt = recovery_codes.spell(code)
        assert re.fullmatch(rf"([{CROCKFORD}]{{4}}-){{3}}[{CROCKFORD}]{{4}}", spelt)
        assert recovery_codes.read(spelt) == code


def test_reading_is_generous() -> None:
    """Case, dashes, spaces, and the letters that Crockford takes for digits."""
    code = recovery_codes.read("0011-ABCD-EFGH-JKMN")
    assert code
    for typed in (
        "0011abcdefghjkmn", " 0011 abcd efgh jkmn ", "oOiL-abcd-EFGH-jkmn", "0-0-1-1ABCDEFGHJKMN",
        "OOlI ABCD-efgh JKMN", "0011-ABCD\r\nEFGH-JKMN\n", "0011\u00a0ABCD\u2011EFGH\u2013JKMN",
        "\u200b0011-ABCD-EFGH\u2014JKMN\ufeff", "0011\u2212ABCD\u00adEFGH_JKMN",
        "\u2066`0011ABCDEFGHJKMN`.",
        "0011-ABCD-EFGH-JKMN" + " " * 200,
    ):  # fmt: skip
        assert recovery_codes.read(typed) == code, typed


@pytest.mark.parametrize(
    "typed",
    ["", "-", "0011-ABCD-EFGH-JKM", "0011-ABCD-EFGH-JKMNP", "U011-ABCD-EFGH-JKMN", "123456",
     "0011-ABCD-EFGH-JKM\u00b5", "０011-ABCD-EFGH-JKMN", "-" * 60_000,
     "0011-ABCD-EFGH-JKMN" + " " * 240, "0011-ABCD-EFGH-JKM\u0131", "\u00df" * 8, "\ud800" * 16],
    ids=lambda typed: ascii(typed)[:24],
)  # fmt: skip
def test_what_is_no_recovery_code(typed: str) -> None:
    """Too short, too long, letters that are none."""
    assert recovery_codes.read(typed) is None


PEPPERS = {1: b"p" * 32, 2: b"q" * 32}
USER, ENROLMENT, CODE = b"u" * 16, b"e" * 16, b"c" * 10


def old_digest(user_id: bytes, code: bytes) -> bytes:
    """What was stored of a code before digests had a key."""
    return hashlib.sha256(b"recovery code\0" + user_id + code).digest()


def test_digests_have_a_key_and_belong_to_user_and_enrolment() -> None:
    """By another spelling of the scheme (RFC 5869 by its library); each part makes another one."""
    digests = RecoveryDigests(PEPPERS)
    stored = digests.of(USER, ENROLMENT, CODE)
    key = HKDF(SHA256(), 32, None, b"recovery code digest, version 1").derive(PEPPERS[2])
    assert stored == hmac.digest(key, USER + ENROLMENT + CODE, "sha256")
    others = {
        digests.of(b"v" * 16, ENROLMENT, CODE),
        digests.of(USER, b"f" * 16, CODE),
        digests.of(USER, ENROLMENT, b"d" * 10),
        RecoveryDigests({2: b"r" * 32}).of(USER, ENROLMENT, CODE),
    }
    assert len({stored, *others}) == 5


def test_codes_under_an_older_pepper_and_of_before_are_known() -> None:
    """A new pepper ends no code, nor does a program that knows keys."""
    candidates = RecoveryDigests(PEPPERS).candidates(USER, ENROLMENT, CODE)
    assert RecoveryDigests({1: PEPPERS[1]}).of(USER, ENROLMENT, CODE) in candidates
    assert old_digest(USER, CODE) in candidates
    assert len(set(candidates)) == 3


def test_without_keys_nothing_is_digested() -> None:
    """While the key service is away a code is neither right nor wrong."""
    for ask in (RecoveryDigests({}).of, RecoveryDigests({}).candidates):
        with pytest.raises(KeyServiceUnavailable):
            ask(USER, ENROLMENT, CODE)


async def test_codes_of_before_work_until_they_are_used(
    bob: Holder, elsewhere: httpx.AsyncClient, shared_store: UserStore
) -> None:
    """A row with a digest without a key opens one session, and a new code beside it another."""
    codes = [code for code in map(recovery_codes.read, bob.recovery_codes) if code]
    old = [old_digest(bob.user_id, code) for code in codes]
    rows = shared_store.ask("SELECT digest FROM recovery_codes WHERE user_id = $1", bob.user_id)
    assert {digest for (digest,) in rows}.isdisjoint(old), "new ones have a key"
    shared_store.ask("DELETE FROM recovery_codes WHERE user_id = $1", bob.user_id)
    for digest in old[:2]:
        shared_store.ask("INSERT INTO recovery_codes VALUES ($1, $2)", bob.user_id, digest)
    statuses = []
    for code, client in zip(bob.recovery_codes[:3], [bob.client, elsewhere] * 2, strict=False):
        for _ in range(2):
            answer = await bob.answer(await bob.challenge(), code, client)
            statuses.append(answer.status_code)
    assert statuses == [200, 401, 200, 401, 401, 401]


async def test_ten_distinct_and_only_hashed(bob: Holder, shared_store: UserStore) -> None:
    """The user store has ten digests, and no spelling of any code."""
    assert len(set(bob.recovery_codes)) == 10
    rows = shared_store.ask("SELECT digest FROM recovery_codes WHERE user_id = $1", bob.user_id)
    codes = [recovery_codes.read(code) for code in bob.recovery_codes]
    stored = b"".join(digest for (digest,) in rows)
    assert len({digest for (digest,) in rows}) == 10
    assert not [code for code in codes if code is None or code in stored]
    assert {len(digest) for (digest,) in rows} == {32}


async def test_each_works_once_and_is_counted_everywhere(
    bob: Holder, elsewhere: httpx.AsyncClient
) -> None:
    """Each opens one session, typed carelessly too; both processes say at once what is left."""
    for number, code in enumerate(bob.recovery_codes, start=1):
        client = (bob.client, elsewhere)[number % 2]
        typed = code.lower().replace("-", " ") if number % 3 else code.replace("0", "o")
        answer = await bob.answer(await bob.challenge(), typed, client)
        assert answer.status_code == 200, answer.text
        left = (True, 10 - number)
        assert answer.json()["user"]["twoFA"] == {"enabled": True, "recoveryCodesLeft": left[1]}
        assert [await bob.two_fa(c) for c in (bob.client, elsewhere)] == [left, left]
    challenge = await bob.challenge()
    for code in bob.recovery_codes[:3]:
        assert code_of(await bob.answer(challenge, code)) == INVALID
    assert (await bob.answer(challenge, bob.phone.code(1))).status_code == 200


async def test_twenty_racers_for_one_code(bob: Holder, elsewhere: httpx.AsyncClient) -> None:
    """Each with a challenge of their own, at two processes: one gets in."""
    code = bob.recovery_codes[3]
    challenges = [await bob.challenge() for _ in range(20)]
    answers = await asyncio.gather(
        *(
            bob.answer(challenge, code, client)
            for challenge, client in zip(challenges, [bob.client, elsewhere] * 10, strict=True)
        )
    )
    codes = [code_of(answer) for answer in answers]
    assert codes.count((200, "")) == 1
    assert set(codes) <= {(200, ""), INVALID, (429, "rate_limited")}
    assert await bob.two_fa(elsewhere) == (True, 9)


async def test_anothers_code_is_an_unknown_one(bob: Holder) -> None:
    """The same answer, and it stays good for its owner."""
    eve = await (await new_holder(bob.client)).enrol()
    challenge = await eve.challenge()
    theirs = await eve.answer(challenge, bob.recovery_codes[0])
    unknown = await eve.answer(challenge, "0000-0000-0000-0000")
    assert code_of(theirs) == code_of(unknown) == INVALID
    assert theirs.json() == unknown.json()
    assert code_of(await eve.disable(bob.recovery_codes[0])) == (400, "invalid_code")
    assert await bob.two_fa() == (True, 10)
    assert (await bob.answer(await bob.challenge(), bob.recovery_codes[0])).status_code == 200


async def test_renewed_codes_kill_the_old(
    bob: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer
) -> None:
    """With a TOTP code only; then ten new ones, of which the old ones are none."""
    old = bob.recovery_codes
    assert (await bob.answer(await bob.challenge(), old[0])).status_code == 200
    assert code_of(await bob.renew(old[1])) == (400, "invalid_code")
    assert await bob.two_fa() == (True, 9), "a recovery code is not spent by being refused"
    answer = await bob.renew(bob.phone.code(1), elsewhere)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    new = answer.json()["recoveryCodes"]
    assert len({*new, *old}) == 20
    assert [await bob.two_fa(c) for c in (bob.client, elsewhere)] == [(True, 10)] * 2
    for code in old[1:3]:
        assert code_of(await bob.answer(await bob.challenge(), code)) == INVALID
    assert (await bob.answer(await bob.challenge(), new[9], elsewhere)).status_code == 200


async def test_disabling_kills_them(bob: Holder, keys: RedisServer) -> None:
    """Those of an enrolment that was turned off do not work for the next."""
    old = bob.recovery_codes
    assert (await bob.disable(old[0])).status_code == 204
    assert await bob.two_fa() == (False, 0)
    let_steps_pass(keys)
    await bob.enrol()
    assert await bob.two_fa() == (True, 10)
    assert code_of(await bob.answer(await bob.challenge(), old[1])) == INVALID
