"""The scripts of the sessions, called with all that they take, for one user."""

from typing import Any

from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.redis.keys import bucket
from service.sessions import scripts
from service.sessions.refresh_tokens import SEALED_SUCCESSOR
from tests.support.keys import session_prefix
from tests.support.looking import events
from tests.support.script_clock import ScriptClock

USER = bytes(range(16))
NAMES = bucket(USER)
INDEX = NAMES.index + USER
DEVICE = CLIENT.packed()
HOUR, DAY, GRACE = 3_600_000, 86_400_000, 30_000
FEED_LIFE = 1_000_000
SPARE = HOUR // 128
"""How much longer an index lives than the longest session, so that it is seldom moved."""

CLOCKS = [
    (30_000, 29_999, 1, True), (30_000, 30_000, 1, False), (30_000, 0, 0, False),
    (HOUR, 59_999, 1, True), (HOUR, 60_000, 1, False),
    (HOUR, -59_999, 1, True), (HOUR, -60_000, 1, False),
]  # fmt: skip
"""Lives of a session, how far a process is ahead of Redis, how long an access token would be valid,
all in ms; and whether that process may sign it."""


def sid(number: int) -> bytes:
    return b"%012d" % number


def digest(number: int, generation: int = 0) -> bytes:
    """That of a session's token of this generation."""
    return b"%012d%04d" % (number, generation)


def key(number: int, generation: int = 0) -> bytes:
    """Where the record of a session is, when this is its generation."""
    return session_prefix(USER) + digest(number, generation)


def sealed(number: int, generation: int) -> bytes:
    return digest(number, generation).ljust(SEALED_SUCCESSOR, b"s")


def record(
    generation: int,
    opened: int,
    used: int,
    proof: int = 1,
    *,
    life: int = DAY,
    last_proof: int = 0,
    row: int = 0,
    flags: int = 0,
    device: bytes = DEVICE,
) -> bytes:
    """A session's record, field by field; in the short layout where that says all."""
    numbers = [(1, 1), (generation, 4), (opened, 6), (used, 5), (life, 5), (proof, 1)]
    if last_proof or row or flags:
        numbers = [(2, 1), *numbers[1:], (last_proof, 5), (row, 7), (flags, 1)]
    return b"".join(number.to_bytes(length) for number, length in numbers) + device


def told(server: RedisServer) -> list[dict[str, str]]:
    """The events about the user, without what all of them have in common."""
    rows = events(server, USER)
    for row in rows:
        assert row.pop("id")
        common = row.pop("user"), row.pop("ip"), row.pop("request")
        assert common == (USER.hex(), "192.0.2.7", "request-1")
    return rows


class Scripted:
    """Calls the scripts; what is not given is as it is for everybody."""

    def __init__(self, clock: ScriptClock) -> None:
        self.clock = clock
        self.kinds = 2

    async def open(self, number: int, **given: Any) -> Any:
        now = self.clock.now
        usual: dict[str, Any] = {
            "session_id": sid(number), "session_hex": sid(number).hex(),
            "token_digest": digest(number), "authentication": b"\1", "proof_flags": 0,
            "device": DEVICE,
            "idle_life": HOUR, "absolute_life": DAY, "most": 50, "event": "user.loggedIn",
            "read": "", "noted": b"", "clock": now, "valid_until": now + HOUR,
            "feed_life": FEED_LIFE,
        }  # fmt: skip
        return await scripts.open_session(self.clock, USER, CLIENT, **(usual | given))

    async def rotate(self, number: int, generation: int, **given: Any) -> Any:
        """Present the token of this generation."""
        now = self.clock.now
        usual: dict[str, Any] = {
            "session_id": sid(number), "session_hex": sid(number).hex(),
            "presented": digest(number, generation), "presented_generation": generation,
            "next_digest": digest(number, generation + 1),
            "sealed": sealed(number, generation + 1), "device": DEVICE, "idle_life": HOUR,
            "grace": GRACE, "clock": now, "valid_until": now + HOUR, "proved": "",
            "target": 0, "sure": 0, "feed_life": FEED_LIFE,
        }  # fmt: skip
        told = await scripts.rotate(self.clock, USER, CLIENT, **(usual | given))
        if isinstance(told, bytes):
            return [b"rotated", told[6:], int.from_bytes(told[:6])]
        return told[:1] if told[0] == b"reused" else told  # without the number of its entry

    async def end(self, number: int, presented: bytes = b"") -> Any:
        entry: int = await scripts.end(
            self.clock, USER, CLIENT, session_id=sid(number), session_hex=sid(number).hex(),
            presented=presented, feed_life=FEED_LIFE,
        )  # fmt: skip
        return int(entry > 0)

    async def revoke(self, caller: int, number: int, since: int = 0) -> Any:
        outcome = await scripts.revoke(
            self.clock, USER, CLIENT,
            caller=sid(caller), since=since, session_id=sid(number), feed_life=FEED_LIFE,
        )  # fmt: skip
        return b"revoked" if isinstance(outcome, int) else outcome

    async def revoke_all(self, caller: int, *, keep_own: bool, since: int = 0) -> Any:
        outcome = await scripts.revoke_all(
            self.clock, USER, CLIENT,
            caller=sid(caller), since=since, keep_own=int(keep_own),
            kinds=self.kinds, feed_life=FEED_LIFE,
        )  # fmt: skip
        return outcome if len(outcome) == 1 else outcome[0]

    async def announce(self) -> None:
        await scripts.announce(self.clock, USER, CLIENT)

    async def call_off(self) -> None:
        await scripts.call_off(self.clock, USER, CLIENT)

    async def end_all(self, **given: Any) -> Any:
        usual: dict[str, Any] = {
            "keep_id": b"", "from_version": "", "row_version": "", "event": "user.sessionsEnded",
            "reason": "test", "by": "", "kinds": self.kinds, "feed_life": FEED_LIFE,
        }  # fmt: skip
        ended, _ = await scripts.end_all(self.clock, USER, CLIENT, **(usual | given))
        return ended

    async def publish(self, version: int) -> Any:
        """End the sessions of rows before this version, which is that of the row now."""
        return await self.end_all(from_version=version, row_version=version)

    async def cut_off_everybody(self) -> Any:
        return await scripts.cut_off_everybody(
            self.clock, events=NAMES.events, before=NAMES.before, revoked=NAMES.revoked,
            revocations=NAMES.revocations, user="", ip="192.0.2.7", request="request-1",
            reason="test", by="cli", feed_life=FEED_LIFE,
        )  # fmt: skip
