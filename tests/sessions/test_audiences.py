"""Whom the access tokens of a session are for: remembered in its id, whatever pod rotates it."""

import os
from collections.abc import Sequence

import msgspec
import pytest
from tools.testbed.parts import CLIENT, SESSION, Parts, access_tokens
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import claims_of

from service.errors import InvalidTarget, RefreshTokenReused
from service.sessions import audiences
from service.sessions.audiences import Audiences
from service.sessions.record import Session
from service.sessions.token_pair import TokenPair
from tests.sessions.scripted import DEVICE, HOUR, Scripted, key, record
from tests.support.keys import session_prefix
from tests.support.looking import ON_VALKEY

SHOP, BANK, NEWS = "https://shop.example", "https://bank.example", "news"


def bound(session_id: bytes) -> Session:
    return msgspec.structs.replace(SESSION, id=session_id, has_audience=True)


def pod(parts: Parts, *others: str) -> Parts:
    """Another pod on the same Redis, with these audiences besides the default."""
    return Parts(parts.link, audiences=others)


def audience(tokens: TokenPair) -> str:
    return str(claims_of(tokens.access_token)["aud"])


def test_an_id_names_its_audience() -> None:
    """Whatever order and company it is set in; none that is not set, and none by chance."""
    shop = Audiences("audience", [SHOP, BANK]).mint_session_id(SHOP)
    for default, others in (("audience", [NEWS, BANK, SHOP]), ("x", [SHOP]), (SHOP, [])):
        assert Audiences(default, others).of(bound(shop)) == SHOP
    with pytest.raises(InvalidTarget):
        Audiences("audience", [BANK]).of(bound(shop))
    several = Audiences("audience", [SHOP, BANK])
    assert [several.mint_session_id(SHOP)[:8] for _ in "12"] != [shop[:8]] * 2
    assert {len(several.mint_session_id(name)) for name in (None, "audience", BANK)} == {12}
    plain = msgspec.structs.replace(SESSION, id=shop)
    assert several.of(plain) == "audience", "without the flag an id says nothing"
    with pytest.raises(InvalidTarget):
        several.mint_session_id(NEWS)


def test_two_audiences_that_one_id_would_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such id is minted; one of before names none, rather than the wrong one."""
    drawn: list[bytes] = []

    def tag(random: bytes, name: str) -> bytes:
        if random not in drawn:
            drawn.append(random)
        return b"same" if random == drawn[0] else name.encode()[-4:]

    monkeypatch.setattr(audiences, "_tag", tag)
    several = Audiences("default", ["a-shop", "a-bank"])
    minted = several.mint_session_id("a-shop")
    assert (several.named_by(minted), minted[:8]) == ("a-shop", drawn[1])
    with pytest.raises(InvalidTarget):
        several.of(bound(drawn[0] + b"same"))


def test_a_verifier_takes_all_audiences() -> None:
    """And no other one."""
    tokens = access_tokens(others=(SHOP,))
    for resource in (None, SHOP, "audience"):
        assert tokens.verify(tokens.mint(SESSION, resource)[0])
        assert access_tokens(others=(BANK, SHOP)).verify(tokens.mint(SESSION, resource)[0])
    token = tokens.mint(SESSION, SHOP)[0]
    with pytest.raises(Exception, match="forged, or was not issued here"):
        access_tokens(others=(BANK,)).verify(token)


@ON_VALKEY
async def test_an_audience_that_is_none_any_more(parts: Parts, keys: RedisServer) -> None:
    """Gives no tokens for another in its place, and spends nothing: not even the session."""
    shop, without = pod(parts, SHOP), pod(parts)
    opened = await shop.open(audience=SHOP)
    with pytest.raises(InvalidTarget):
        await without.sessions.refresh(opened.refresh_token, CLIENT)
    token = parts.refresh_tokens.recognise(opened.refresh_token)
    with keys.client() as client:
        assert client.exists(session_prefix(token.user_id) + token.digest), "it was spent"
    after = await without.sessions.refresh(opened.refresh_token, CLIENT, "audience")
    assert audience(after) == "audience"
    with pytest.raises(InvalidTarget):  # within the grace the spent one, too
        await without.sessions.refresh(opened.refresh_token, CLIENT)
    assert audience(await shop.sessions.refresh(opened.refresh_token, CLIENT)) == SHOP
    last = await shop.sessions.refresh(after.refresh_token, CLIENT)
    assert audience(last) == SHOP
    with pytest.raises(RefreshTokenReused):  # theft is theft
        await without.sessions.refresh(opened.refresh_token, CLIENT)


@ON_VALKEY
async def test_what_it_costs(parts: Parts, keys: RedisServer) -> None:
    """No key and, without an audience of its own, no byte."""
    several = pod(parts, SHOP)

    async def stored(audience: str | None) -> tuple[int, int]:
        """How many keys there are, and how long the record is."""
        user_id = os.urandom(16)
        with keys.client() as client:
            client.flushall()
            await several.open(user_id, audience)
            [session] = client.scan_iter(match=session_prefix(user_id) + b"*", count=1000)
            return client.dbsize(), client.strlen(session)

    plain = await stored(None)
    assert await stored("audience") == plain
    assert await stored(SHOP) == (plain[0], plain[1] + 13)


@ON_VALKEY
@pytest.mark.parametrize(("target", "flags", "refused"), [
    (0, 0, False), (0, 1, False), (0, 2, True), (0, 3, True), (0, 0b11111110, True),
    (0, 0b11111101, False), (1, 2, False), (1, 0, False),
])  # fmt: skip
async def test_the_flag_in_the_script(
    scripted: Scripted, keys: RedisServer, target: int, flags: int, refused: bool
) -> None:
    """Only of a session with it a target is asked for; all flags are copied."""
    now = scripted.clock.now
    await scripted.open(1, proof_flags=flags)
    outcome = await scripted.rotate(1, 0, target=target)
    generation = 0 if refused else 1
    stored = record(generation, now, 0, flags=flags, device=DEVICE)
    with keys.client() as client:
        assert client.get(key(1, generation)) == stored
    expected: Sequence[object] = [b"target"] if refused else [b"rotated", stored, now + HOUR]
    assert outcome == expected
