"""The test vectors of docs/feed.md, which guards in other languages can be held against."""

import json
import time
from typing import Any

import pytest
import redis
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.waiting import eventually

from service.guard import Verifier
from service.guard.control_streams import ControlStreams
from service.guard.cut_offs import CutOff
from service.guard.entries import BucketCutOff, UnknownKind, UserCutOff, read_entry
from service.guard.stream import Stream
from service.redis.keys import BUCKETS, FEED_SKEW, numbered
from tests.guard.feed_writer import new_token
from tests.guard.guards import ISSUER, Guards, settled, verdict
from tests.support.looking import ON_VALKEY

VECTORS = json.loads((REPOSITORY / "tests/vectors/feed-v1.json").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = VECTORS["cases"]
VERDICTS = {"living": "accepted", "ended": "refused", "unknown": "unavailable"}


def raw(text: str | dict[str, str]) -> bytes:
    return text.encode() if isinstance(text, str) else bytes.fromhex(text["hex"])


def fields(told: list[list[Any]]) -> list[bytes]:
    """Names and values in turn, as Redis has them."""
    return [raw(each) for pair in told for each in pair]


@pytest.mark.parametrize("vector", VECTORS["entries"])
def test_entries(vector: dict[str, Any]) -> None:
    """Each means what the vectors say."""
    position, said = read_entry(b"5-0", fields(vector["fields"]))
    means = vector["means"]
    assert position.number == means.get("number", 0)
    match said:
        case bytes():
            assert said.hex() == means["session"]
        case UserCutOff(user_id, cut_off):
            kept = map(bytes.fromhex, means["kept"])
            assert user_id.hex() == means["user"]
            assert cut_off == CutOff.keeping(means["at"], kept)
        case BucketCutOff(at):
            assert at == means["everybodyAt"]
        case UnknownKind():
            assert means["unknownKind"]
        case None:
            assert means == {"malformed": True}


@pytest.mark.parametrize("vector", VECTORS["heartbeats"], ids=lambda it: it["name"])
def test_heartbeats(vector: dict[str, Any]) -> None:
    """Until when a guard may trust what it has read, by the heartbeats that it has seen."""
    control = ControlStreams(0, vector["bound"], lambda _: None)
    for look in vector["looks"]:
        found: dict[bytes, Any] = {}
        if "newest" in look:
            found[numbered(0).beat] = [(look["newest"].encode(), [b"every", b"%d" % look["every"]])]
        control.look(found, look["at"])
        assert look["at"] + control.trusted_for(look["at"]) == look["knownUntil"]


def test_the_vectors_are_about_this_guard() -> None:
    """Their issuer, and how long an entry matters by default; each case has a bucket of its own."""
    assert VECTORS["issuer"] == ISSUER
    assert VECTORS["skew"] == FEED_SKEW.total_seconds()
    assert [case["bucket"] for case in CASES] == list(range(len(CASES)))


class Replay:
    """Carries out the steps of all cases at once, each in its bucket."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._written: dict[int, list[bytes]] = {case["bucket"]: [] for case in CASES}
        self._began = round(time.time() * 1000)

    def mark(self, number: int, step: dict[str, Any]) -> None:
        names = numbered(number)
        if "mark" in step:
            self._client.delete(names.issuer)
            if step["mark"]:
                self._client.xadd(names.issuer, {"iss": step["mark"]})

    def step(self, number: int, step: dict[str, Any]) -> None:
        names, written = numbered(number), self._written[number]
        if step.get("empty"):
            self._client.delete(names.revoked)
        if step.get("delete"):
            self._client.xdel(names.revoked, *[written[index] for index in step["delete"]])
        for entry in step.get("write", ()):
            id_ = f"{self._began - entry['ago']}-0"
            sent = ("XADD", names.revoked, id_, *fields(entry["fields"]))
            written.append(self._client.execute_command(*sent))


async def judged(guard: Verifier, checks: list[dict[str, Any]], *, late: bool) -> list[str]:
    """What the guard says, and what it should say, of each token that differs."""
    wrong = []
    for check in checks:
        more = {"auth_time": check["auth_time"]} if "auth_time" in check else {}
        token = new_token(
            bytes.fromhex(check["sub"]), check.get("sat"), bytes.fromhex(check["sid"]), **more
        )
        expected = check.get("isToALateOne", check["is"]) if late else check["is"]
        says = verdict if expected == "unknown" else settled
        told = await says(guard, token)
        if told != VERDICTS[expected]:
            wrong.append(f"{check}: {told}, should be {expected}")
    return wrong


@ON_VALKEY
async def test_cases(keys: RedisServer, guards: Guards, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that follows the feed, and one that starts after each step, say what they should."""
    looks = [0]
    set_complete = Stream.set_complete

    def counted(self: Stream, *moment: float) -> None:
        looks[0] += self.bucket == len(CASES) and self.shard in running._shards
        set_complete(self, *moment)

    with keys.client() as client:
        for number in range(BUCKETS):  # once: no service writes it again where it is gone
            client.xadd(numbered(number).issuer, {"iss": ISSUER})
    running = await guards.start(bound=0.4, access_ttl=VECTORS["accessTtl"])
    monkeypatch.setattr(Stream, "set_complete", counted)
    wrong = []
    with keys.client() as client:
        replay = Replay(client)
        for index in range(max(len(case["steps"]) for case in CASES)):
            due = [case for case in CASES if len(case["steps"]) > index]
            for change in (replay.mark, replay.step):  # marks are looked at four times a bound
                for case in due:
                    change(case["bucket"], case["steps"][index])
                seen = looks[0]

                async def read_all(seen: int = seen) -> bool:
                    return looks[0] >= seen + 2

                await eventually(read_all)
            late = guards.new(access_ttl=VECTORS["accessTtl"], bound=2)
            async with late:
                for case in due:
                    checks = case["steps"][index]["check"]
                    for guard in (running, late):
                        found = await judged(guard, checks, late=guard is late)
                        wrong += [f"{case['name']} {each}" for each in found]
    assert wrong == []
