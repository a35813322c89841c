"""A flood of events by one account, and by strangers from one address, and what is left of others'.

Each call that the OpenAPI document has is made, over and over, as fast as the service answers, with
its limits as they are: by an account from ever other networks, and by strangers without any. Quiet
accounts, and one that goes on meanwhile, have their events in the same stream; these must be there.
"""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import msgspec

from service.embedded.files import find_binary
from service.redis.keys import bucket_number, numbered
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, ServiceProcess

MOST = 1_000
"""Events that a stream holds: twenty times fewer than by default, so that it fills up at once."""

_WRITING = ("/auth/login", "/auth/refresh", "/auth/logout")
_QUIET = 4
_HANDS, _STRANGERS = 6, 3
_STRANGER = "198.51.100.7"
_BETWEEN_LOOKS = 20.0
_PACE = 2.5
"""Seconds between two things that the active account does."""


class Call(msgspec.Struct, frozen=True):
    """An operation of the API, and the names of the fields that its body may and must have."""

    method: str
    path: str
    fields: tuple[str, ...]
    required: tuple[str, ...]


class Flood(msgspec.Struct):
    """What was done, and what became of others' events."""

    calls: Counter[str] = msgspec.field(default_factory=Counter)
    right: int = 0
    written: int = 0
    dropped: int = 0
    kept: int = 0
    missing: list[str] = msgspec.field(default_factory=list)

    def lines(self) -> list[str]:
        """Say it."""
        most = ", ".join(f"{count:,} {name}" for name, count in self.calls.most_common(4))
        return [
            f"{sum(self.calls.values()):,} calls to {len(self.calls)} operations ({most}, ...),"
            f" {self.right:,} of them right",
            f"{self.written:,} events written to a stream of {MOST:,}; {self.dropped:,} dropped",
            f"{self.kept:,} events of others: {len(self.missing)} missing {self.missing[:5] or ''}",
        ]


class Account:
    """Somebody, and a session."""

    def __init__(self, client: httpx.AsyncClient, name: str) -> None:
        self.client = client
        self.email = f"{name}@example.com"
        self.body: dict[str, Any] = {}

    @property
    def id(self) -> bytes:
        return bytes.fromhex(self.body["user"]["id"])

    async def open(self, path: str = "/auth/signup") -> bool:
        """Sign up or log in, from a network that nobody has seen yet."""
        credentials = {"email": self.email, "password": PASSWORD}
        answer = await self.client.post(path, json=credentials, headers=_from(_anywhere()))
        if answer.is_success and "accessToken" in answer.json():
            self.body |= answer.json()
            return True
        return False

    async def call(self, call: Call, origin: str, fields: Mapping[str, Any]) -> httpx.Response:
        """Make a call as who has this session."""
        headers = _from(origin)
        if token := self.body.get("accessToken"):
            headers["Authorization"] = f"Bearer {token}"
        path = call.path
        for name, value in fields.items():
            path = path.replace(f"{{{name}}}", str(value))
        body = {name: fields[name] for name in call.fields if name in fields}
        body |= {name: "x" for name in call.required if name not in fields}
        return await self.client.request(call.method, path, headers=headers, json=body or None)


async def flood(seconds: float, tell: Callable[[str], object]) -> Flood:
    """Flood a service of its own, and look at the events of others now and then."""
    with TemporaryDirectory(prefix="displacing-") as directory:
        place = Path(directory)
        (place / "redis").mkdir()
        redis = RedisServer(find_binary(), place / "redis").start()
        service = ServiceProcess(
            place,
            redis.url_of(SERVICE),
            SERVICE_RATE_LIMIT="on",
            SERVICE_EVENTS_MAX=str(MOST),
            SERVICE_TRUSTED_PROXIES="127.0.0.0/8",
        ).start()
        try:
            async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
                return await _Run(client, redis, tell).go(seconds)
        finally:
            service.stop()
            redis.stop()


class _Run:
    def __init__(
        self, client: httpx.AsyncClient, redis: RedisServer, tell: Callable[[str], object]
    ) -> None:
        self._client = client
        self._redis = redis
        self._tell = tell
        self._found = Flood()
        self._until = 0.0

    async def go(self, seconds: float) -> Flood:
        calls = _calls((await self._client.get("/schema/openapi.json")).json())
        attacker = Account(self._client, f"attacker-{secrets.token_hex(4)}")
        assert await attacker.open()  # noqa: S101  nobody is limited yet
        others = [await self._beside(attacker.id) for _ in range(_QUIET + 1)]
        stream = numbered(bucket_number(attacker.id)).events
        active, quiet = others[0], others[1:]
        for account in quiet:
            await _live(account)
        told = self._events_of(stream, others)
        self._until = time.monotonic() + seconds
        self._tell(f"{len(told)} events of {len(others)} others; {len(calls)} operations")
        going_on = asyncio.create_task(self._go_on(active))
        hands = [self._attack(attacker.email.partition("@")[0], calls) for _ in range(_HANDS)]
        strangers = [self._stranger(calls, others) for _ in range(_STRANGERS)]
        looking = self._look(stream, others, told)
        await asyncio.gather(looking, going_on, *hands, *strangers)
        rotations = await going_on
        self._compare(stream, others, told)
        rotated = [
            each
            for each in self._entries(stream)
            if each[1:] == (active.id.hex(), "session.rotated")
        ]
        if len(rotated) < rotations:
            self._found.missing.append(f"{rotations - len(rotated)} of the active one's rotations")
        with self._redis.client() as client:
            self._found.written = client.xinfo_stream(stream)["entries-added"]
        self._found.dropped = self._found.written - len(self._entries(stream))
        self._found.kept = len(told) + rotations
        return self._found

    async def _beside(self, user: bytes) -> Account:
        """Sign up until somebody's events are in the stream of this user's."""
        while True:
            account = Account(self._client, f"other-{secrets.token_hex(6)}")
            if await account.open() and bucket_number(account.id) == bucket_number(user):
                return account

    async def _attack(self, email: str, calls: Sequence[Call]) -> None:
        """Make all calls, and those most often that write an event each time they are right."""
        hand = Account(self._client, email)
        writing = [each for each in calls if each.path in _WRITING]
        await hand.open("/auth/login")
        while time.monotonic() < self._until:
            call = random.choice(writing if random.random() < 0.75 else calls)
            if call.path == "/auth/account/delete":
                continue  # it must stay the one account; strangers try this, too
            fields = {
                "email": hand.email,
                "password": PASSWORD,  # always right, lest the account be locked
                "currentPassword": PASSWORD,
                "newPassword": PASSWORD,
                "refreshToken": hand.body.get("refreshToken", ""),
                "code": "000000",
            }
            answer = await hand.call(call, _anywhere(), fields)
            self._count(call, answer)
            if answer.is_success and call.path in _WRITING:
                hand.body |= answer.json() if answer.content else {}
            if answer.status_code == 401 or call.path == "/auth/logout":
                await hand.open("/auth/login")

    async def _stranger(self, calls: Sequence[Call], others: list[Account]) -> None:
        """Try all calls at the others' accounts, without a session, from one address."""
        nobody = Account(self._client, "nobody")
        while time.monotonic() < self._until:
            call = random.choice(calls)
            fields = {
                "email": random.choice(others).email,
                "password": "wrong" + secrets.token_hex(4),
                "refreshToken": others[1].body["refreshToken"][:-4] + "AAAA",
                "code": "000000",
            }
            self._count(call, await nobody.call(call, _STRANGER, fields))

    async def _go_on(self, active: Account) -> int:
        """Refresh now and then. Tell how often."""
        rotations = 0
        while time.monotonic() < self._until:
            body = {"refreshToken": active.body["refreshToken"]}
            answer = await self._client.post(
                "/auth/refresh", json=body, headers=_from("192.0.2.200")
            )
            if answer.is_success:
                active.body |= answer.json()
                rotations += 1
            await asyncio.sleep(_PACE)
        return rotations

    async def _look(self, stream: bytes, others: list[Account], told: set[str]) -> None:
        while time.monotonic() < self._until:
            await asyncio.sleep(min(_BETWEEN_LOOKS, max(0.0, self._until - time.monotonic())))
            self._compare(stream, others, told)
            self._tell(
                f"{sum(self._found.calls.values()):,} calls, {len(self._found.missing)} missing"
            )

    def _compare(self, stream: bytes, others: list[Account], told: set[str]) -> None:
        there = self._events_of(stream, others)
        self._found.missing += sorted(told - there - {*self._found.missing})

    def _events_of(self, stream: bytes, others: list[Account]) -> set[str]:
        ids = {account.id.hex() for account in others}
        return {entry for entry, user, _ in self._entries(stream) if user in ids}

    def _entries(self, stream: bytes) -> list[tuple[str, str, str]]:
        with self._redis.client() as client:
            return [
                (entry.decode(), fields[b"user"].decode(), fields[b"type"].decode())
                for entry, fields in client.xrange(stream)
            ]

    def _count(self, call: Call, answer: httpx.Response) -> None:
        self._found.calls[f"{call.method} {call.path}"] += 1
        self._found.right += answer.is_success


async def _live(account: Account) -> None:
    """Do what leaves events: another login, a wrong one, an enrolment, a logout."""
    first = account.body["refreshToken"]
    await account.open("/auth/login")
    wrong = {"email": account.email, "password": "wrong"}
    headers = _from("192.0.2.7")
    await account.client.post("/auth/login", json=wrong, headers=headers)
    bearer = headers | {"Authorization": f"Bearer {account.body['accessToken']}"}
    await account.client.post("/auth/2fa/enable", json={}, headers=bearer)
    await account.client.post("/auth/logout", json={"refreshToken": first}, headers=bearer)


def _calls(document: Mapping[str, Any]) -> list[Call]:
    """Read all operations of an OpenAPI document."""
    schemas = document["components"]["schemas"]
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            named = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
            found.append(
                Call(
                    method.upper(),
                    path,
                    tuple(named.get("properties", ())),
                    tuple(named.get("required", ())),
                )
            )
    return found


def _anywhere() -> str:
    """Choose an address: of 16 million networks."""
    number = secrets.randbelow(2**24)
    return f"2001:db8:{number >> 12:x}:{number & 0xFFF:x}::1"


def _from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}
