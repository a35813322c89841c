"""What a rotation, a handoff and a theft write: byte by byte, and each bound to the millisecond."""

import ipaddress

import pytest
from tools.testbed.redis_server import RedisServer

from service.errors import UnknownLayout
from service.sessions.origin import RequestOrigin
from tests.sessions.scripted import (
    CLOCKS,
    DAY,
    DEVICE,
    GRACE,
    HOUR,
    INDEX,
    NAMES,
    SPARE,
    Scripted,
    digest,
    key,
    record,
    sealed,
    sid,
    told,
)
from tests.support.keys import handoff_prefix
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

HANDOFF = handoff_prefix(b"\0") + sid(1)
REUSED = {"type": "session.reuseDetected", "session": sid(1).hex()}


def packed(address: str | None, user_agent: str = "a browser") -> bytes:
    given = ipaddress.ip_address(address) if address else None
    return RequestOrigin(given, user_agent, "").packed()


ELSEWHERE = packed("198.51.100.1")


async def test_what_a_rotation_writes(scripted: Scripted, keys: RedisServer) -> None:
    """The record's next generation under the next digest, the handoff for the grace, the event."""
    opened = scripted.clock.now
    await scripted.open(1, authentication=b"\5")
    scripted.clock.move(5_001)
    expected = record(1, opened, 5_001, 5, device=ELSEWHERE)
    outcome = await scripted.rotate(1, 0, device=ELSEWHERE)
    assert outcome == [b"rotated", expected, opened + 5_001 + HOUR]
    with keys.client() as client:
        assert client.get(key(1, 1)) == expected
        assert client.get(HANDOFF) == digest(1, 0) + sealed(1, 1)
        assert scripted.clock.gave(GRACE, client, HANDOFF)
        assert client.hgetall(INDEX) == {sid(1): digest(1, 1)}
        assert not client.exists(key(1, 0))
        assert client.pexpiretime(key(1, 1)) == outcome[2]
        assert client.pexpiretime(INDEX) == opened + HOUR + SPARE, "it lasts for this one, too"
    assert told(keys)[1:] == [{"type": "session.rotated", "session": sid(1).hex()}]


async def test_the_end_of_the_absolute_life(scripted: Scripted) -> None:
    """The last rotations end with it; where the clock was put back, the age is 0."""
    opened = scripted.clock.now
    await scripted.open(1)
    scripted.clock.move(DAY - HOUR + 1)
    expected = record(1, opened, DAY - HOUR + 1)
    assert await scripted.rotate(1, 0) == [b"rotated", expected, opened + DAY]
    scripted.clock.move(-7)
    expected = record(2, opened, 0)
    assert await scripted.rotate(1, 1) == [b"rotated", expected, opened - 7 + HOUR]


@pytest.mark.parametrize("handed", [False, True])
@pytest.mark.parametrize(("life", "clock", "valid_until", "signs"), CLOCKS)
async def test_a_clock_of_a_process(
    scripted: Scripted,
    keys: RedisServer,
    handed: bool,
    life: int,
    clock: int,
    valid_until: int,
    signs: bool,
) -> None:
    """As at opening, for rotation and handoff; what is refused changes nothing."""
    now = scripted.clock.now
    await scripted.open(1)
    if handed:
        await scripted.rotate(1, 0, idle_life=life)
    before = told(keys)
    outcome = await scripted.rotate(
        1, 0, idle_life=life, clock=now + clock, valid_until=now + valid_until
    )
    assert outcome[0] == ((b"handoff" if handed else b"rotated") if signs else b"clock")
    assert len(told(keys)) == len(before) + (signs and not handed)
    with keys.client() as client:
        assert client.exists(key(1, 0)) == (not handed and not signs)


async def test_what_a_handoff_to_elsewhere_writes(scripted: Scripted, keys: RedisServer) -> None:
    """One byte, once a rotation, and the event; the third in a row is theft, and told as both."""
    opened = scripted.clock.now
    await scripted.open(1, authentication=b"\7")
    for generation, in_a_row in ((1, 1), (2, 2)):
        rotated = await scripted.rotate(1, generation - 1)
        scripted.clock.move(1)
        proof = 7 + in_a_row * 8 + (generation + 1) * 32
        with keys.client() as client:
            for device in (DEVICE, ELSEWHERE, ELSEWHERE):
                outcome = await scripted.rotate(1, generation - 1, device=device)
                byte = proof if device == ELSEWHERE else rotated[1][21]
                expected = rotated[1][:21] + bytes((byte,)) + DEVICE
                assert outcome == [b"handoff", expected, rotated[2], sealed(1, generation)]
                assert client.get(key(1, generation)) == expected
                assert client.pexpiretime(key(1, generation)) == rotated[2]
    assert outcome[1] == record(2, opened, 1, 7 + 2 * 8 + 3 * 32)
    rotated = await scripted.rotate(1, 2)
    assert rotated[1] == record(3, opened, 1, 7 + 2 * 8 + 3 * 32), "for the next rotation"
    assert await scripted.rotate(1, 2, device=ELSEWHERE) == [b"reused"]
    event = {"type": "session.handoffElsewhere", "session": sid(1).hex()}
    rows = [row for row in told(keys) if row["type"] not in ("user.loggedIn", "session.rotated")]
    assert rows == [
        *(event | {"generation": str(n), "inARow": str(n)} for n in (1, 2, 3)),
        REUSED | {"generation": "2", "current": "3"},
    ]
    with keys.client() as client:
        assert client.exists(INDEX, HANDOFF, key(1, 3)) == 0


async def test_a_rotation_without_one_forgets(scripted: Scripted) -> None:
    """Not the next, but the one after it: what the person has proved stays, the rest is 0."""
    opened = scripted.clock.now
    await scripted.open(1, authentication=b"\7")
    await scripted.rotate(1, 0)
    await scripted.rotate(1, 1)
    await scripted.rotate(1, 1, device=ELSEWHERE)
    for generation, proof in ((3, 7 + 8 + 3 * 32), (4, 7)):
        rotated = await scripted.rotate(1, generation - 1)
        assert rotated[1] == record(generation, opened, 0, proof)
    for generation in range(5, 10):  # the generation is noted modulo 7
        await scripted.rotate(1, generation - 1)
    outcome = await scripted.rotate(1, 8, device=ELSEWHERE)
    assert outcome[1] == record(9, opened, 0, 7 + 8 + 3 * 32)
    await scripted.rotate(1, 9)
    assert (await scripted.rotate(1, 9, device=ELSEWHERE))[1][21] == 7 + 16 + 4 * 32


@pytest.mark.parametrize("address", [None, "192.0.2.7", "2001:db8::1"])
async def test_any_byte_of_the_user_agent_counts(scripted: Scripted, address: str | None) -> None:
    """The first as well as the last, and one more, of what is kept of it."""
    before = packed(address, "")
    for number, user_agent in enumerate((b"xbc", b"abx", b"abcd", b"ab", b"bc", b"")):
        await scripted.open(number)
        await scripted.rotate(number, 0, device=before + b"abc")
        outcome = await scripted.rotate(number, 0, device=before + user_agent)
        assert outcome[1][21] == 1 + 8 + 2 * 32, user_agent


@pytest.mark.parametrize(
    ("one", "other", "elsewhere"),
    [
        ("192.0.2.7", "192.0.2.255", False),
        ("192.0.2.7", "192.0.3.7", True),
        ("192.0.2.7", "192.1.2.7", True),
        ("192.0.2.7", "193.0.2.7", True),
        ("192.0.2.7", "::ffff:192.0.2.1", False),
        ("192.0.2.7", "::ffff:192.0.3.7", True),
        ("192.0.2.7", "::fffe:192.0.2.7", True),
        ("192.0.2.7", "100::ffff:192.0.2.7", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "::ffff:193.0.2.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::1", False),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", True),
        ("2001:db8:0:1::1", "3001:db8:0:1::1", True),
        ("2001:db8:0:1::1", "2001:db8:0:101::1", True),
        ("3600::1", "36.0.0.0", True),
        (None, None, False),
        (None, "0.0.0.0", True),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
async def test_what_is_elsewhere(
    scripted: Scripted, one: str | None, other: str | None, elsewhere: bool, turned: bool
) -> None:
    """IPv4 /24 and IPv6 /64, to the bit on either side; another user agent in any case."""
    if turned:
        one, other = other, one
    await scripted.open(1)
    await scripted.rotate(1, 0, device=packed(one))
    same = await scripted.rotate(1, 0, device=packed(other))
    assert (same[1][21] != 1) == elsewhere
    another = await scripted.rotate(1, 0, device=packed(one, "another"))
    assert another[1][21] == 1 + 8 + 2 * 32


async def test_theft(scripted: Scripted, keys: RedisServer) -> None:
    """A token without a handoff, older or newer than the stored one: all of the session goes."""
    for presented in (0, 5):
        await scripted.open(1)
        for generation in range(3):
            await scripted.rotate(1, generation)
        assert await scripted.rotate(1, presented) == [b"reused"]
        assert told(keys)[-1] == REUSED | {"generation": str(presented), "current": "3"}
        with keys.client() as client:
            assert client.exists(INDEX, HANDOFF, key(1, 3)) == 0
            assert client.xrevrange(NAMES.revoked, count=1)[0][1][b"s"] == sid(1)
        assert await scripted.rotate(1, 2) == [b"ended"]
    await scripted.open(1)
    await scripted.rotate(1, 0)
    with keys.client() as client:
        client.delete(HANDOFF)  # the grace is over
    assert await scripted.rotate(1, 0) == [b"reused"]


@pytest.mark.parametrize("presented", [0, 1])
async def test_a_handoff_that_cannot_be_read(
    scripted: Scripted, keys: RedisServer, presented: int
) -> None:
    """Neither theft nor good for anything: longer, shorter, or not of the predecessor's."""
    await scripted.open(1)
    await scripted.rotate(1, 0)
    await scripted.rotate(1, 1)
    with keys.client() as client:
        whole = client.get(HANDOFF)
        others = [whole + b"+", whole[:-1], b"x" + whole[1:], whole[:15] + b"x" + whole[16:]]
        for other in others[: 4 if presented == 1 else 2]:
            client.set(HANDOFF, other, keepttl=True)
            with pytest.raises(UnknownLayout):
                await scripted.rotate(1, presented)
            assert client.get(HANDOFF) == other
        client.set(HANDOFF, whole, keepttl=True)
    assert (await scripted.rotate(1, 1))[0] == b"handoff"
    assert len(told(keys)) == 3


@pytest.mark.parametrize("address", [None, "192.0.2.7", "2001:db8::1"])
async def test_the_shortest_record(
    scripted: Scripted, keys: RedisServer, address: str | None
) -> None:
    """Without a user agent it ends with the address; a byte less, and it is none that is known."""
    await scripted.open(1, device=packed(address, ""))
    with keys.client() as client:
        whole = client.get(key(1))
        for other in (whole[:-1], b"\3" + whole[1:], whole[:22] + b"\1" + whole[23:], b""):
            client.set(key(1), other, keepttl=True)
            with pytest.raises(UnknownLayout):
                await scripted.rotate(1, 0)
            with pytest.raises(UnknownLayout):
                await scripted.open(2, most=1)
            assert client.get(key(1)) == other
        client.set(key(1), whole, keepttl=True)
    assert (await scripted.rotate(1, 0))[0] == b"rotated"
