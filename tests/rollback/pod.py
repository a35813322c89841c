"""A pod whose journal and watch take a turn when a test says so; and a server that goes back."""

import asyncio
import os
from datetime import timedelta
from typing import Any, NamedTuple

from redis.asyncio.connection import AbstractConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.parts import CLIENT, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import PATIENCE

from service.errors import InvalidAccessToken, StoreRefuses
from service.redis.client import RedisClient
from service.redis.fence import Fence
from service.redis.keys import TAGS, numbered
from service.redis.node import Timing
from service.redis.preamble import Bounds
from service.redis.probe import refuse_without_rights
from service.rollback.floors import Floors
from service.rollback.journal import Journal
from service.rollback.replay import Replay
from service.rollback.rollback import Rollback
from service.rollback.store import RollbackStore
from service.rollback.watch import Watch
from service.sessions.access_tokens import Caller
from service.sessions.record import Authentication
from service.settings import Secret

FEED_LIFE = 900_000
PATIENT = Timing(timedelta(seconds=PATIENCE), timedelta(seconds=PATIENCE))


class Opened(NamedTuple):
    """A session, by its user's id and its own."""

    user: bytes
    id: bytes


class Pod:
    """What a process has, without the web and without tasks in the background."""

    def __init__(self, url: Secret, engine: AsyncEngine, policy: str = "replay") -> None:
        self.own = RedisClient(url, timing=PATIENT, check_connection=self._check)
        self.store = RollbackStore(engine, os.urandom(16))
        floors = Floors(self.own, self.store, 1)
        self.watch = Watch(self.own, self.store, Fence(), floors, PATIENCE)
        self.replay = Replay(
            self.own, self.store, FEED_LIFE, always_cut_off=policy == "cutoff", steps_ahead=1
        )
        replay = None if policy == "refuse" else self.replay
        self.journal = Journal(self.own, self.store, self.watch, replay, timedelta(days=30), 0)
        parts = self.own, engine, self.watch, self.journal
        self.rollback = Rollback(refuse_without_rights, parts, "the test says so")
        self.link = RedisClient(
            url,
            timing=PATIENT,
            bounds=Bounds(floors=True),
            check_connection=self.rollback.check_connection,
            fence=self.rollback.fence,
            check_buckets=self.rollback.check_buckets,
        )
        self.sessions = Parts(self.link).sessions

    async def _check(self, connection: AbstractConnection) -> None:
        await self.rollback.check_own_connection(connection)

    async def open(self, user: bytes | None = None) -> Opened:
        """Open a session of this user, or of a new one."""
        user = user or os.urandom(16)
        tokens = await self.sessions.open(user, Authentication.PASSWORD, "user.loggedIn", CLIENT)
        return Opened(user, tokens.session_id)

    async def end(self, session: Opened) -> int:
        """Log out of a session."""
        return await self.sessions.end(session.user, session.id, CLIENT)

    async def lives(self, session: Opened) -> bool | str:
        """Ask for a session: whether it lives, or why it is refused."""
        try:
            await self.sessions.current(Caller(session.user, session.id))
        except InvalidAccessToken:
            return False
        except StoreRefuses as refusal:
            return refusal.refusal
        return True

    async def reconnect(self) -> None:
        """Lose all connections, as when the server is started anew, and tell the user store."""
        await self.leave()
        await asyncio.gather(*self.watch._publishing.tasks)

    async def leave(self) -> None:
        """Lose all connections."""
        await asyncio.gather(*(each.leave("the test says so") for each in (self.link, self.own)))

    async def settle(self) -> None:
        """Let the journal take a turn, and look again."""
        await self.journal.turn()
        await self.watch.look()

    async def aclose(self) -> None:
        await self.watch.aclose()
        await self.link.aclose()
        await self.own.aclose()


class Snapshot:
    """What a server has, in one bucket or in all."""

    def __init__(self, server: RedisServer, bucket: int | None) -> None:
        tag = b"*" if bucket is None else TAGS[bucket]
        self._server, self._pattern = server, b"*" + tag + b"*"
        with server.client() as client:
            self._kept = {
                key: (max(0, client.pttl(key)), client.dump(key))
                for key in client.scan_iter(self._pattern)
            }

    def put_back(self) -> None:
        """Let the server go back to it, all at once."""
        with self._server.client() as client:
            there = list(client.scan_iter(self._pattern))
            with client.pipeline() as pipeline:
                if there:
                    pipeline.delete(*there)
                for key, (life, value) in self._kept.items():
                    pipeline.restore(key, life, value)
                pipeline.execute()


def bucket_of(session: Opened) -> int:
    """Return the bucket of a session."""
    return session.user[0] & 63


def feed(server: RedisServer, bucket: int) -> list[Any]:
    """Read the feed of a bucket."""
    with server.client() as client:
        entries: list[Any] = client.xrange(numbered(bucket).revoked)
    return entries


def number(server: RedisServer, bucket: int) -> int:
    """Read the number of the last entry."""
    with server.client() as client:
        return int(client.get(numbered(bucket).revocations) or 0)


def told(server: RedisServer, bucket: int, kind: str) -> list[dict[bytes, bytes]]:
    """Read the events of a kind."""
    with server.client() as client:
        events: Any = client.xrange(numbered(bucket).events)
    return [of for _, of in events if of[b"type"] == kind.encode()]
