"""Signing keys and MAC keys: published before they are used, kept while they are needed."""

import asyncio
import json
import os
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from service.clock import milliseconds
from service.database.tables import sealed_keys
from service.errors import InvalidRefreshToken, KeyRefused
from service.keyring import signing
from service.keyring.records import SKEW, KeyLives
from service.keyring.store import KeyStore, sealed_row
from service.keyring.token_key_rotation import DELAY, JWKS_AGE, TokenKeyRotation
from service.sessions.refresh_tokens import RefreshTokens
from service.web.routes.operations import jwks
from tests.keyring.conftest import DataDir, SetClock
from tests.keyring.pod import Pod

LIVES = KeyLives()
SECOND = timedelta(seconds=1)


async def rotation(data_dir: DataDir, clock: SetClock) -> tuple[TokenKeyRotation, Any]:
    opened = await KeyStore(data_dir.engine).open(data_dir.provider, clock)
    return TokenKeyRotation(data_dir.engine, clock), opened


async def publish(data_dir: DataDir, clock: SetClock, use: str) -> int:
    change, opened = await rotation(data_dir, clock)
    return await change.publish(use, opened)


async def revoke(data_dir: DataDir, clock: SetClock, use: str, key_id: int) -> int | None:
    change, opened = await rotation(data_dir, clock)
    return await change.revoke(use, key_id, opened)


def published(pod: Pod) -> list[str]:
    return [key["kid"] for key in json.loads(pod.keys.now.signing.jwks())["keys"]]


def signer(pod: Pod) -> str:
    return pod.keys.now.signing.active.kid


def minted(tokens: RefreshTokens) -> str:
    return tokens.mint(os.urandom(16), os.urandom(12), 0).text


def recognised(tokens: RefreshTokens, text: str) -> bool:
    try:
        tokens.recognise(text)
    except InvalidRefreshToken:
        return False
    return True


def test_delay_is_what_the_route_promises() -> None:
    """A key is published for as long as anybody may keep the set that it was not in yet."""
    assert [header.value for header in jwks.response_headers if header.name == "Cache-Control"] == [
        f"public, max-age={JWKS_AGE.seconds}"
    ]
    assert DELAY >= JWKS_AGE + SKEW


async def test_life_of_a_signing_key(data_dir: DataDir, set_clock: SetClock) -> None:
    """Published before it signs, verifying until the last token of it has expired, then gone."""
    pod = await Pod(data_dir, set_clock).start()
    first = signer(pod)
    assert await publish(data_dir, set_clock, "signing") == 2
    await pod.look()
    second = published(pod)[0]
    assert published(pod) == [second, first]
    assert second != first
    set_clock.advance(DELAY - SECOND)
    await pod.look()
    assert signer(pod) == first
    set_clock.advance(SECOND)
    await pod.look()
    assert signer(pod) == second
    set_clock.advance(LIVES.access + SKEW - SECOND)
    await pod.look()
    assert published(pod) == [second, first]
    assert signer(await Pod(data_dir, set_clock).start()) == second  # a restart in between
    set_clock.advance(SECOND)
    await pod.look()
    assert published(pod) == [second]
    await pod.look()
    assert [row.id for row in (await data_dir.rows())[1] if row.use == "signing"] == ["2"]


async def test_life_of_a_mac_key(data_dir: DataDir, set_clock: SetClock) -> None:
    """Tokens of both keys are good at each pod, the old one's for as long as a session lives."""
    pod, other = await Pod(data_dir, set_clock).start(), await Pod(data_dir, set_clock).start()
    tokens, others = pod.refresh_tokens(), other.refresh_tokens()
    old = minted(tokens)
    await publish(data_dir, set_clock, "refresh-mac")
    await other.look()
    set_clock.advance(DELAY)
    await other.look()
    await pod.look()
    new = minted(tokens)
    assert pod.keys.now.refresh_mac_current == 2
    assert all(recognised(others, token) for token in (old, new))
    set_clock.advance(LIVES.refresh + SKEW - SECOND)
    await pod.look()
    assert recognised(tokens, old)
    set_clock.advance(SECOND)
    await pod.look()
    assert not recognised(tokens, old)
    assert recognised(tokens, new)


async def test_pod_that_cannot_look_knows_the_published_key(
    data_dir: DataDir, set_clock: SetClock
) -> None:
    """A pod that loses the user store after a key was published uses it all the same, in time."""
    pod, other = await Pod(data_dir, set_clock).start(), await Pod(data_dir, set_clock).start()
    await publish(data_dir, set_clock, "refresh-mac")
    await pod.look()
    await other.look()
    data_dir.store.lose()
    await data_dir.engine.dispose()
    set_clock.advance(DELAY)
    await pod.look()
    await other.look()
    assert pod.keys.now.refresh_mac_current == 2
    assert recognised(other.refresh_tokens(), minted(pod.refresh_tokens()))


async def test_one_waits_at_a_time(data_dir: DataDir, set_clock: SetClock) -> None:
    """A second successor is refused while the first waits; of racing pods one publishes."""
    await data_dir.start()
    change, opened = await rotation(data_dir, set_clock)
    raced = await asyncio.gather(
        *(change.publish("signing", opened) for _ in range(4)), return_exceptions=True
    )
    assert sorted(map(str, raced))[0] == "2"
    assert sum(isinstance(each, KeyRefused) for each in raced) == 3
    with pytest.raises(KeyRefused, match="signing key 2 is published and waits for its time"):
        await publish(data_dir, set_clock, "signing")


async def test_keys_of_age_get_successors(data_dir: DataDir, set_clock: SetClock) -> None:
    """At ninety days both kinds are turned, once, by whichever pod comes first; peppers never."""
    pods = [await Pod(data_dir, set_clock).start() for _ in range(3)]
    set_clock.advance(LIVES.age - SECOND)
    for pod in pods:
        await pod.look()
    assert len((await data_dir.rows())[1]) == 4
    set_clock.advance(SECOND)
    await asyncio.gather(*(pod.look() for pod in pods))
    uses = sorted(row.use for row in (await data_dir.rows())[1])
    assert uses == ["email-digest", "pepper", "refresh-mac", "refresh-mac", "signing", "signing"]
    set_clock.advance(DELAY)
    for pod in pods:
        await pod.look()
    assert len({signer(pod) for pod in pods}) == 1
    assert signer(pods[0]) == published(pods[0])[0]


async def test_revoked_signing_key(data_dir: DataDir, set_clock: SetClock) -> None:
    """A key that others may have verifies nothing from the next look on; a new one signs at once,
    also while a successor waits."""
    pod = await Pod(data_dir, set_clock).start()
    stolen = signer(pod)
    await publish(data_dir, set_clock, "signing")
    assert await revoke(data_dir, set_clock, "signing", 1) == 3
    await pod.look()
    assert stolen not in published(pod)
    assert pod.keys.now.signing.public(stolen) is None
    assert signer(pod) == published(pod)[-1]  # the fresh one; the newest still waits
    assert len(published(pod)) == 2
    with pytest.raises(KeyRefused, match="there is no signing key 1"):
        await revoke(data_dir, set_clock, "signing", 1)


async def test_revoked_key_that_is_not_in_use(data_dir: DataDir, set_clock: SetClock) -> None:
    """An old key goes at once; the one in use stays."""
    pod = await Pod(data_dir, set_clock).start()
    await publish(data_dir, set_clock, "signing")
    set_clock.advance(DELAY)
    await pod.look()
    current = signer(pod)
    assert await revoke(data_dir, set_clock, "signing", 1) is None
    await pod.look()
    assert published(pod) == [current]


async def test_numbers_of_mac_keys_are_used_again(data_dir: DataDir, set_clock: SetClock) -> None:
    """After 255 a number that has become free is taken, and its key is the newest all the same."""
    keys = await data_dir.start()
    now = milliseconds(set_clock())
    row = sealed_row(keys.keyring, "refresh-mac", 255, b"m" * 32, now, now)
    await data_dir.change(insert(sealed_keys).values(row))
    assert await publish(data_dir, set_clock, "refresh-mac") == 2
    set_clock.advance(DELAY)
    pod = await Pod(data_dir, set_clock).start()
    assert pod.keys.now.refresh_mac_current == 2
    assert set(pod.keys.now.refresh_mac_keys) == {1, 2, 255}


async def test_a_new_key_is_sealed_at_rest(data_dir: DataDir, set_clock: SetClock) -> None:
    """What a rotation makes lies in the database sealed, but for its public part."""
    await data_dir.start()
    await publish(data_dir, set_clock, "signing")
    set_clock.advance(DELAY)
    pod = await Pod(data_dir, set_clock).start()
    private = pod.keys.now.signing.active.private_key
    disk = data_dir.store.bytes_on_disk()
    assert signing.public_to_der(private.public_key()) in disk
    assert private.private_numbers().private_value.to_bytes(32, "big") not in disk
