"""The issuer's keys: fetched, kept, refreshed, and never asked for too often."""

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SESSION, SIGNING_KEYS, access_tokens
from tools.testbed.waiting import eventually

from service.guard import Verifier
from service.guard.counters import GuardCounters
from service.guard.jwks import JwkSet, KeysUnavailable, max_age, parse
from service.keyring import signing
from service.keyring.signing import SigningKeys
from tests.guard.guards import Guards, verdict

NEW_KEYS = SigningKeys([SIGNING_KEYS.active.private_key, signing.mint()])
OTHER_KEYS = SigningKeys([signing.mint()])


def token(keys: SigningKeys = SIGNING_KEYS) -> str:
    return access_tokens(keys).mint(SESSION)[0]


@pytest.fixture
def offline(issuer: Issuer) -> Guards:
    """Guards for which only signatures count."""
    return Guards(issuer, "")


async def start(guards: Guards, **options: Any) -> Verifier:
    return await guards.start(**{"mode": "offline", "jwks_floor": timedelta()} | options)


async def test_a_new_key_is_fetched(offline: Guards, issuer: Issuer) -> None:
    """The issuer signs with a key that it has just published: the first such token counts."""
    async with offline:
        guard = await start(offline)
        assert await verdict(guard, token()) == "accepted"
        issuer.publish(NEW_KEYS)
        assert await verdict(guard, token(NEW_KEYS)) == "accepted"
        assert await verdict(guard, token()) == "accepted"
        assert issuer.asked == 2


async def test_a_key_that_is_gone_counts_no_more(offline: Guards, issuer: Issuer) -> None:
    """Nor do tokens that were verified with it before."""
    async with offline:
        guard = await start(offline)
        old = token()
        for _ in range(2):
            assert await verdict(guard, old) == "accepted"
        issuer.publish(OTHER_KEYS)
        assert await verdict(guard, token(OTHER_KEYS)) == "accepted"
        assert await verdict(guard, old) == "refused"


async def test_invented_keys_do_not_flood_the_issuer(offline: Guards, issuer: Issuer) -> None:
    """Tokens with keys that nobody has, one by one and at once: one fetch in each floor."""
    async with offline:
        guard = await start(offline, jwks_floor=timedelta(hours=1))
        for _ in range(200):
            assert await verdict(guard, token(OTHER_KEYS)) == "refused"
        assert issuer.asked == 1
        guard = await start(offline)
        issuer.asked = 0
        told = await asyncio.gather(*(verdict(guard, token(OTHER_KEYS)) for _ in range(200)))
        assert set(told) == {"refused"}
        assert issuer.asked == 1


async def test_old_keys_serve_while_the_issuer_is_down(offline: Guards, issuer: Issuer) -> None:
    """What is known counts; of a key that is not, nobody can say anything until it is back."""
    async with offline:
        guard = await start(offline)
        issuer.stop()
        assert await verdict(guard, token(NEW_KEYS)) == "unavailable"
        assert await verdict(guard, token()) == "accepted"
        assert guard.counters.key_failures >= 1
        issuer.publish(NEW_KEYS)
        issuer.start()

        async def back() -> bool:
            return await verdict(guard, token(NEW_KEYS)) == "accepted"

        await eventually(back)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (302, b"{}"),
        (200, b"<html>"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": {}}'),
        (200, b"[]"),
        (200, NEW_KEYS.jwks() + b" " * 70_000),
    ],
)
async def test_a_bad_answer_changes_nothing(
    offline: Guards, issuer: Issuer, status: int, body: bytes
) -> None:
    """An error, a redirection, no set of keys, an empty one, an endless one."""
    async with offline:
        guard = await start(offline)
        issuer.status, issuer.body = status, body
        assert await verdict(guard, token(NEW_KEYS)) == "unavailable"
        assert await verdict(guard, token()) == "accepted"
        assert guard.counters.key_failures >= 1


async def test_a_hanging_issuer_holds_up_only_who_needs_it(offline: Guards, issuer: Issuer) -> None:
    """Who names an unknown key waits for one common fetch; the others do not."""
    async with offline:
        guard = await start(offline)
        issuer.publish(NEW_KEYS)
        issuer.may_answer.clear()
        waiting = [asyncio.create_task(verdict(guard, token(NEW_KEYS))) for _ in range(20)]
        await eventually(lambda: asked(issuer, 2))
        assert await verdict(guard, token()) == "accepted"
        assert not any(task.done() for task in waiting)
        issuer.may_answer.set()
        assert set(await asyncio.gather(*waiting)) == {"accepted"}
        assert issuer.asked == 2


async def asked(issuer: Issuer, times: int) -> bool:
    return issuer.asked >= times


async def test_a_set_is_fetched_again_before_it_is_old(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the background, though no token asks for it."""
    monkeypatch.setattr("service.guard.jwks._SHORTEST_AGE", 0.3)
    issuer.max_age = 0
    changes = []
    keys = JwkSet(issuer.url, changes.append, 0.05, GuardCounters())
    await keys.start()
    issuer.publish(NEW_KEYS)
    await eventually(lambda: asked(issuer, 4))
    await keys.aclose()
    assert [set(each) for each in changes] == [
        set(SIGNING_KEYS.public_keys()), set(NEW_KEYS.public_keys())
    ]  # fmt: skip


def test_only_keys_for_es256_are_taken() -> None:
    """Others may stand in the set; what is no point of P-256 is no key."""
    good = json.loads(OTHER_KEYS.jwks())["keys"][0]
    longer = generate_private_key(SECP384R1()).public_key().public_numbers()
    zero = base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()
    others = [
        {"kty": "oct", "kid": "a", "k": "AAAA", "alg": "HS256"},
        {"kty": "RSA", "kid": "b", "n": "AQAB", "e": "AQAB"},
        good | {"kid": "c", "crv": "P-384"},
        good | {"kid": "d", "alg": "ES384"},
        good | {"kid": "e", "use": "enc"},
        good | {"kid": "f", "x": zero},
        good | {"kid": "g", "x": "AAAA"},
        good | {"kid": ""},
        {name: value for name, value in good.items() if name != "kid"},
        good | {"kid": 7},
        good | {"kid": "h", "x": base64.urlsafe_b64encode(longer.x.to_bytes(48)).decode()},
        "key",
        None,
    ]
    keys = parse(json.dumps({"keys": [*others, good, {"kid": "i"}], "more": 1}).encode())
    assert list(keys) == [good["kid"]]
    bare = {name: good[name] for name in ("kty", "kid", "crv", "x", "y")}
    assert list(parse(json.dumps({"keys": [bare]}).encode())) == [good["kid"]]
    for junk in (b"", b"[]", b"{}", b"\xff", b'{"keys": 1}'):
        with pytest.raises(KeysUnavailable):
            parse(junk)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("public, max-age=600", 600),
        ("max-age=60", 60),
        ("Max-Age=60, public", 60),
        ("s-max-age=60", 300),
        ("", 300),
        ("no-store", 300),
        ("max-age=0", 10),
        ("max-age=99999999", 86_400),
    ],
)
def test_how_long_a_set_may_be_kept(header: str, seconds: float) -> None:
    """As the issuer says, within reason."""
    assert max_age(header) == seconds


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "fast"},
        {"when_lost": "open"},
        {"jwks_url": "file:///etc/passwd"},
        {"jwks_url": ""},
        {"redis_url": "http://x"},
        {"redis_url": ""},
    ],
)
def test_wrong_options_are_refused(issuer: Issuer, wrong: dict[str, Any]) -> None:
    """Before anything is started."""
    with pytest.raises(ValueError, match=r"no such mode|jwks_url|not a Redis URL"):
        Guards(issuer, "unix:///tmp/x").new(**wrong)


async def test_a_start_that_is_cancelled_leaves_nothing(issuer: Issuer) -> None:
    """No task goes on behind the back of whoever gave up, and no connection stays open."""
    issuer.may_answer.clear()
    before = asyncio.all_tasks()
    start = asyncio.create_task(Guards(issuer, "").new(mode="offline").__aenter__())
    await eventually(lambda: asked(issuer, 1))
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert asyncio.all_tasks() == before
