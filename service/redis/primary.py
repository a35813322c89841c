"""The one server that is written to: the one that the URL names, or whom Sentinels call primary."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.redis.connection import Argument
from service.redis.election import Candidate, Vote, candidates, elected, latest
from service.redis.identity import Identity, identity_of, issuer_of, refuse_foreign
from service.redis.node import CONNECTION, Node, closed_unless_good, opened
from service.redis.refusals import SentinelRefuses, refused, refused_by_sentinel
from service.redis.sentinel_votes import UnknownPrimary, vote_of
from service.redis.topology import Servers, Topology
from service.redis.url import Address
from service.repeating import repeat

log = structlog.get_logger()

T = TypeVar("T")

_LOOK_EVERY = 0.5
"""Seconds between two looks at who is primary. One that hung while another took its place, and
then goes on, takes commands for some seconds until a Sentinel demotes it; a pod must have left it
by then. So each look asks the Sentinels, and the server itself whether it answers: one that hangs
is left within the reply timeout, before Sentinels call it down."""

_TRUST = 2 * _LOOK_EVERY
"""Seconds that a look holds good, from its beginning. After more, this process itself has hung,
maybe together with the primary, and looks before it sends anything."""


_DOUBT = 10.0
"""Seconds for which a server that a minority of the Sentinels names is not asked again."""


class Primary:
    """A topology with a single place for all keys."""

    def __init__(self, servers: Servers) -> None:
        """Connect to nothing yet."""
        self._servers = servers
        url = servers.url
        self._sentinels = url.hosts if url.topology == "sentinel" else ()
        patience = servers.timing.connect.total_seconds()
        self._sentinel_patience = patience * 0.3  # twice; one may hang
        self._known: Address | None = None
        self._identity = Identity()
        self._doubted: dict[Address, float] = {}
        self._watching: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._trusted_until = 0.0
        self._node = Node(self._connect, servers.timing, servers.min_replicas, servers.fence)

    def node_for(self, command: tuple[Argument, ...]) -> Node | None:
        if self._watching is not None and time.monotonic() > self._trusted_until:
            return None
        return self._node

    async def find(self, command: tuple[Argument, ...]) -> Node:
        while self._watching is not None and time.monotonic() > self._trusted_until:
            await self._look()  # again, if this process hung in the middle of one
        return self._node  # which asks the Sentinels when it connects

    async def moved(self, command: tuple[Argument, ...], error: exceptions.AskError) -> Node:
        raise refused(error) from error  # a node of a cluster, for which the URL has another form

    async def primaries(self) -> list[Node]:
        return [self._node]

    async def unserved(self) -> int:
        return 0

    async def lost(self, node: Node) -> None:
        await node.drop("another server may be primary now")

    def go_by(self, other: Topology) -> None:
        """Look by itself: who is primary is asked when a connection is made."""

    async def aclose(self) -> None:
        for task in (self._watching, self._looking):
            if task is not None:
                task.cancel()
        await self._node.aclose()

    async def _connect(self) -> AbstractConnection:
        if not self._sentinels:
            host = self._servers.url.hosts[0] if self._servers.url.hosts else None
            connection = await opened(self._servers.url.connection(host, **CONNECTION))
            async with closed_unless_good(connection):
                await self._servers.check_connection(connection)
            return connection
        named = await self._named()
        await self._follow(named)
        connection = await opened(self._servers.url.connection(named, **CONNECTION))
        async with closed_unless_good(connection):
            await refuse_foreign(connection, self._servers.issuer, 0)
            await self._servers.check_connection(connection)
            identity = await identity_of(connection)
            await connection.send_command("ROLE")
            role = await connection.read_response()
            # One that hung while another took its place may have come to now, and say "master".
            began = time.monotonic()
            still_named = await self._named()
        hung = time.monotonic() > began + _TRUST
        if hung or role[0] != b"master" or not named == still_named == self._known:
            await connection.disconnect(nowait=True)
            raise exceptions.ConnectionError("the primary has just been demoted")
        self._identity = identity
        self._trusted_until = began + _TRUST
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        return connection

    async def _named(self) -> Address:
        """Find the primary: the server that most Sentinels name, by the address that we know it by.

        The first news of a failover is believed if the server has the data of the one before. Where
        too few Sentinels answer for a majority, the known one stays; and at a start, whom all name
        that answer.
        """
        answers = await asyncio.gather(*(self._ask(sentinel) for sentinel in self._sentinels))
        found = candidates([answer for answer in answers if isinstance(answer, Vote)])
        if not found:
            refusals = [answer for answer in answers if isinstance(answer, SentinelRefuses)]
            if refusals:
                lasting = len(refusals) == len(answers) and all(it.permanent for it in refusals)
                raise SentinelRefuses(str(refusals[0]), permanent=lasting)
            raise exceptions.ConnectionError("no Sentinel knows who is primary")
        chosen, newest = elected(found, len(self._sentinels)), latest(found)
        if newest is not chosen and await self._succeeds(newest):
            chosen = newest
        if chosen is None:
            known = [each for each in found if self._is(each)]
            chosen = known[0] if known else found[0]
            if not known and (len(found) > 1 or not await self._may_start_with(chosen)):
                raise exceptions.ConnectionError("too few Sentinels agree who is primary")
        return self._known if self._known and self._is(chosen) else chosen.addresses[0]

    def _is(self, candidate: Candidate) -> bool:
        """Tell whether it is the server that we know, by whatever address."""
        return candidate.is_at(self._known, self._identity.run_id)

    async def _succeeds(self, candidate: Candidate) -> bool:
        """Tell whether it is the one that we know, or primary now and has that one's data."""
        if self._is(candidate):
            return True
        address, history = candidate.addresses[0], self._identity.history
        if not history or self._doubted.get(address, 0.0) > time.monotonic():
            return False
        identity = await self._briefly(address, identity_of) or Identity()
        if identity.goes_on_from(history):
            return True
        if identity.role != "slave":  # which may be promoted at this moment
            self._doubted[address] = time.monotonic() + _DOUBT
            log.warning("redis.sentinelOutvoted", named=f"{address[0]}:{address[1]}")
        return False

    async def _may_start_with(self, candidate: Candidate) -> bool:
        """Tell whether to follow a server that all who answer name, though they are no majority.

        Only while no primary is known; where we have an issuer, only if the feed bears its mark.
        """
        if not self._servers.issuer:
            return self._known is None
        return await self._briefly(candidate.addresses[0], issuer_of) == self._servers.issuer

    async def _briefly(
        self, address: Address, ask: Callable[[AbstractConnection], Awaitable[T]]
    ) -> T | None:
        """Ask something of a server that is not followed yet; `None`: it does not answer."""
        connection = self._servers.url.connection(address, **CONNECTION)
        with suppress(exceptions.RedisError, OSError):
            try:
                async with asyncio.timeout(self._sentinel_patience):
                    await opened(connection)
                    return await ask(connection)
            finally:
                await connection.disconnect(nowait=True)
        return None

    async def _ask(self, sentinel: Address) -> Vote | SentinelRefuses | None:
        """Ask a Sentinel for its vote; `None`: it does not say whom it calls primary, nor why."""
        connection = self._servers.url.sentinel_connection(sentinel, **CONNECTION)

        async def ask(*command: Argument) -> Any:
            await connection.send_command(*command)
            return await connection.read_response()

        # The last three: an answer that no Sentinel gives.
        with suppress(OSError, LookupError, TypeError, ValueError):
            try:
                async with asyncio.timeout(self._sentinel_patience):
                    await opened(connection)
                    return await vote_of(ask, self._servers.url.primary)
            except exceptions.RedisError as error:
                return refused_by_sentinel(error)
            except UnknownPrimary:
                name = self._servers.url.primary
                return SentinelRefuses(f"A Sentinel knows no primary {name!r}", permanent=False)
            finally:
                await connection.disconnect(nowait=True)
        return None

    async def _watch(self) -> None:
        await asyncio.sleep(_LOOK_EVERY)
        await repeat("redis.sentinels", self._look, _LOOK_EVERY)

    async def _look(self) -> None:
        """Make sure who is primary, once for all who want to know."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._leave_unless_primary())
        await asyncio.shield(self._looking)

    async def _follow(self, primary: Address) -> None:
        """Leave the server that was primary so far, with all connections, if it is another."""
        if primary == self._known:
            return
        if self._known is not None:
            log.warning("redis.failover", primary=f"{primary[0]}:{primary[1]}")
        self._known, self._identity = primary, Identity()
        await self._node.drop("another server is primary now")

    async def _leave_unless_primary(self) -> None:
        """Leave the server unless the Sentinels name it, or cannot be asked, and it agrees."""
        began = time.monotonic()  # what they say after this process hung may be from before
        try:
            await self._follow(await self._named())
        except (exceptions.RedisError, OSError):
            pass
        except Exception as error:  # the watch must go on, and the server itself is still asked
            log.error("redis.sentinels", exc_info=error)
        try:
            role = await self._node.ask(("ROLE",), False)
            if role[0] != b"master":
                await self._node.drop("the primary was demoted")
        except (exceptions.RedisError, OSError):
            await self._node.drop("the primary does not answer")
        self._trusted_until = began + _TRUST
