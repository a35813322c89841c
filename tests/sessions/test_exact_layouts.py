"""The two layouts of a record in the scripts: when each is written, what of them is copied, and the
proof of identity that a rotation may note."""

import ipaddress
from datetime import timedelta

import pytest
from tools.testbed.redis_server import RedisServer

from service.errors import UnknownLayout
from service.sessions import record as module
from service.sessions.record import FLAG_AUDIENCE
from tests.sessions.scripted import DAY, DEVICE, HOUR, INDEX, USER, Scripted, key, record, sid, told
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

HIGHEST = 2**53 - 1
CHANGING = b"?1 0 1700000000000"
PROVED = {"type": "session.reauthenticated", "session": sid(1).hex()}
ROTATED = {"type": "session.rotated", "session": sid(1).hex()}


@pytest.mark.parametrize("row", [0, 1, 2**32 + 7, HIGHEST])
async def test_the_version_of_the_row_is_kept(
    scripted: Scripted, keys: RedisServer, row: int
) -> None:
    """From the opening through rotations and handoffs, exactly; where it is 0, not a byte more."""
    opened = scripted.clock.now
    outcome = await scripted.open(1, read=row)
    assert outcome[1] == record(0, opened, 0, row=row)
    for generation in (1, 2):
        scripted.clock.move(generation)
        expected = record(generation, opened, generation, row=row)
        assert (await scripted.rotate(1, generation - 1))[:2] == [b"rotated", expected]
        assert (await scripted.rotate(1, generation - 1))[:2] == [b"handoff", expected]
    with keys.client() as client:
        assert client.get(key(1, 2)) == expected
    session = module.read(USER, sid(1), expected, 0)
    assert (session.ip_address, session.user_agent) == ("192.0.2.7", "a browser")
    assert (session.row_version, session.authenticated_at) == (row, session.opened_at)


async def test_of_a_row_that_nobody_has_read(scripted: Scripted) -> None:
    """At signup the session is of version 0."""
    outcome = await scripted.open(1, read="")
    assert outcome[1] == record(0, scripted.clock.now, 0)


WITHOUT_MEANING = 255 & ~FLAG_AUDIENCE
"""Flags that a rotation does not look at."""


async def test_what_has_no_meaning_yet_is_copied(scripted: Scripted, keys: RedisServer) -> None:
    """Every flag of those, whatever a rotation, a proof or a handoff changes beside it."""
    now = scripted.clock.now
    await scripted.open(1)
    longest = 2**40 - 1
    most = {"life": longest, "row": HIGHEST, "flags": WITHOUT_MEANING}
    stored = record(0, now, 0, 5, last_proof=longest, **most)
    with keys.client() as client:
        client.set(key(1), stored, keepttl=True)
    expected = record(1, now, 0, 5, last_proof=longest, **most)
    assert (await scripted.rotate(1, 0))[1] == expected
    scripted.clock.move(3)
    expected = record(1, now, 0, 7, last_proof=3, **most)
    assert (await scripted.rotate(1, 0, proved=2))[1] == expected
    expected = record(2, now, 3, 7, last_proof=3, **most)
    assert (await scripted.rotate(1, 1))[1] == expected


@pytest.mark.parametrize("handed", [False, True])
async def test_a_proof(scripted: Scripted, keys: RedisServer, handed: bool) -> None:
    """Its bits are added to those that were there and its time is now, on a handoff, too, whose
    life stays; whoever rotates afterwards changes neither."""
    opened = scripted.clock.now
    rotated = await scripted.open(1, authentication=b"\1")
    if handed:
        rotated = await scripted.rotate(1, 0)
    scripted.clock.move(1_500)
    outcome = await scripted.rotate(1, 0, proved=4, idle_life=2 * HOUR)
    used = 0 if handed else 1_500
    expected = record(1, opened, used, 5, last_proof=1_500)
    assert outcome[:2] == [b"handoff" if handed else b"rotated", expected]
    assert outcome[2] == (rotated[2] if handed else scripted.clock.now + 2 * HOUR)
    with keys.client() as client:
        assert client.get(key(1, 1)) == expected
        assert client.pexpiretime(key(1, 1)) == outcome[2]
    assert told(keys)[1:] == ([ROTATED, PROVED] if handed else [PROVED, ROTATED])
    session = module.read(USER, sid(1), expected, 0)
    assert session.authenticated_at - session.opened_at == timedelta(milliseconds=1_500)
    scripted.clock.move(1_600)
    assert (await scripted.rotate(1, 1))[1] == record(2, opened, 1_600, 5, last_proof=1_500)
    assert (await scripted.rotate(1, 2, proved=1))[1] == (
        record(3, opened, 1_600, 5, last_proof=1_600)
    )


async def test_a_proof_by_a_handoff_to_elsewhere(scripted: Scripted) -> None:
    """Both are noted; a theft notes nothing."""
    opened = scripted.clock.now
    await scripted.open(1)
    await scripted.rotate(1, 0)
    scripted.clock.move(1)
    outcome = await scripted.rotate(1, 0, device=b"\0elsewhere", proved=2)
    assert outcome[1] == record(1, opened, 0, 3 + 8 + 2 * 32, last_proof=1)
    assert await scripted.rotate(1, 5, proved=2) == [b"reused"]


async def test_a_proof_when_the_clock_was_put_back(scripted: Scripted) -> None:
    """It is as old as the session, not 34 years."""
    opened = scripted.clock.now
    await scripted.open(1, read=1)
    scripted.clock.move(-7)
    assert (await scripted.rotate(1, 0, proved=2))[1] == record(1, opened, 0, 3, row=1)


@pytest.mark.parametrize("handed", [False, True])
async def test_while_the_row_changes(scripted: Scripted, keys: RedisServer, handed: bool) -> None:
    """Nothing is rotated, handed off or judged a theft, but for a caller who is sure."""
    await scripted.open(1)
    if handed:
        await scripted.rotate(1, 0)
    with keys.client() as client:
        for noted in (CHANGING, b"?"):
            client.hset(INDEX, "v", noted)
            before = {name: client.dump(name) for name in client.scan_iter()}
            for generation in (0, 7):
                assert await scripted.rotate(1, generation) == [b"changing"]
            assert {name: client.dump(name) for name in client.scan_iter()} == before
    assert (await scripted.rotate(1, 0, sure=1))[0] == (b"handoff" if handed else b"rotated")
    assert await scripted.rotate(1, 7, sure=1) == [b"reused"]
    assert await scripted.rotate(1, 7) == [b"ended"]


@pytest.mark.parametrize("noted", [b"0", b"17"])
async def test_once_it_has_changed(scripted: Scripted, keys: RedisServer, noted: bytes) -> None:
    """A settled version is no reason to ask."""
    await scripted.open(1)
    with keys.client() as client:
        client.hset(INDEX, "v", noted)
    assert (await scripted.rotate(1, 0))[0] == b"rotated"


@pytest.mark.parametrize(("row", "since", "is_heard"), [
    (0, 0, True), (7, 0, True), (7, 7, True), (7, 8, False), (0, 1, False),
    (HIGHEST, HIGHEST, True),
])  # fmt: skip
async def test_a_caller_of_an_older_row(
    scripted: Scripted, row: int, since: int, is_heard: bool
) -> None:
    """It ends nobody's session, as if its own had ended."""
    await scripted.open(1, read=row)
    await scripted.open(2, read=row)
    assert await scripted.revoke(1, 2, since) == (b"revoked" if is_heard else b"unauthenticated")
    outcome = await scripted.revoke_all(1, keep_own=True, since=since)
    assert outcome == (0 if is_heard else -1)


WHOLE = record(0, 1_700_000_000_000, 5, 1, last_proof=9, row=7, flags=1)
CUT = [WHOLE[:length] for length in (0, 1, 21, 22, 23, 34, 35, 36, 39)]


@pytest.mark.parametrize(
    "stored",
    [
        *CUT,
        b"\3" + WHOLE[1:],
        b"\0" + WHOLE[1:],
        WHOLE[:35] + b"\5" + WHOLE[36:],
        WHOLE[:35] + b"\20" + WHOLE[36:40],
        WHOLE[:27] + (HIGHEST + 1).to_bytes(7) + WHOLE[34:],
        WHOLE[:27] + b"\377" * 7 + WHOLE[34:],
        WHOLE[:22] + b"\1" + WHOLE[23:],  # a proof after the life at the most
    ],
)
async def test_what_cannot_be_read(scripted: Scripted, keys: RedisServer, stored: bytes) -> None:
    """Cut anywhere, of another layout, of a version that is no number: for Python as for each
    script it is unknown, and stays as it is."""
    assert module.read(USER, sid(1), WHOLE, 0).row_version == 7
    with pytest.raises(UnknownLayout):
        module.read(USER, sid(1), stored, 0)
    await scripted.open(1)
    with keys.client() as client:
        client.set(key(1), stored, keepttl=True)
        for call in (
            lambda: scripted.rotate(1, 0),
            lambda: scripted.rotate(1, 5),
            lambda: scripted.open(2, most=1),
            lambda: scripted.revoke(1, 1, since=1),
            lambda: scripted.revoke_all(1, keep_own=True, since=1),
        ):
            with pytest.raises(UnknownLayout):
                await call()
        assert client.get(key(1)) == stored
    assert await scripted.end(1) == 1


NOT_WHOLE = ["192.0.2.7", "2001:db8::500:1", "2001:db8::1000:1"]
WHOLE_BEHIND = ["2001:db8::1", "2001:db8:1::1"]
"""Behind these a record could be of layout 2, by a row of 0 and of 2^40, but for the life."""

CASES = [
    *((address, DAY) for address in NOT_WHOLE + WHOLE_BEHIND),
    *((address, 2**40 - 1) for address in NOT_WHOLE),
]


def rotated_before(address: str, life: int) -> bytes:
    """What a version that looks at no layout makes of WHOLE, asked from this address."""
    packed = ipaddress.ip_address(address).packed
    device = bytes((len(packed),)) + packed + DEVICE[5:]
    return b"\2" + record(1, 1_700_000_000_000, 9, 1, life=life, device=device)[1:]


@pytest.mark.parametrize(("address", "life"), CASES)
async def test_what_a_version_from_before_has_rotated(
    scripted: Scripted, keys: RedisServer, address: str, life: int
) -> None:
    """It is opened by a row older than any: no rotation, no proof, no caller by it; and whatever
    ends older sessions ends it, and no other."""
    stored = rotated_before(address, life)
    session = module.read(USER, sid(1), stored, 0, b"7")
    assert (session.row_version, session.user_version) == (module.COUNTS_NO_MORE, None)
    assert (session.generation, session.ip_address, session.user_agent) == (1, address, "a browser")
    assert session.authenticated_at == session.opened_at
    await scripted.open(1, read=7)
    await scripted.open(2, read=7)
    with keys.client() as client:
        client.set(key(1), stored, keepttl=True)
        assert await scripted.rotate(1, 0) == [b"older"]
        assert await scripted.rotate(1, 1) == [b"older"]
        assert await scripted.rotate(1, 0, proved=2, sure=1, target=1) == [b"older"]
        assert await scripted.revoke(1, 2, since=1) == b"unauthenticated"
        assert await scripted.revoke_all(1, keep_own=True, since=7) == -1
        assert client.get(key(1)) == stored
        assert await scripted.end_all(from_version=0) == 1
        assert (client.get(key(1)), client.hkeys(INDEX)) == (None, [sid(2), b"c", b"v"])
    assert (await scripted.rotate(2, 0))[0] == b"rotated"


@pytest.mark.parametrize(("address", "life"), CASES)
async def test_that_it_is_the_oldest_of_too_many(
    scripted: Scripted, keys: RedisServer, address: str, life: int
) -> None:
    """When it was opened is known: a login is not refused for it."""
    await scripted.open(1, read=7)
    with keys.client() as client:
        client.set(key(1), rotated_before(address, life), keepttl=True)
        assert (await scripted.open(2, most=1, read=7))[0] == b"opened"
        assert client.get(key(1)) is None
