"""One connection to one Redis server, which breaks loudly.

redis-py makes the connection (TLS, AUTH, database). It would also mend a broken one and say
nothing; whoever follows a stream must know, as the server may be another one by then.
"""

import asyncio
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from redis import exceptions
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo

from ..redis.url import Address, RedisUrl
from .replies import Replies

Argument = bytes | str | int
Command = Sequence[Argument]

BROKEN = (exceptions.RedisError, OSError, TimeoutError)
"""What a connection may raise: by then it is closed, unless the server has merely refused."""

_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_OPTIONS: dict[str, Any] = {
    "protocol": 2,
    "retry": Retry(NoBackoff(), 0),
    "socket_timeout": None,
    "driver_info": DriverInfo(name="", lib_version=""),  # a user need not be allowed CLIENT SETINFO
}


def packed(command: Command) -> bytes:
    """Spell a command as Redis reads it. redis-py takes ten times as long, for what is not here."""
    return b"*%d\r\n%b" % (len(command), b"".join(map(bulk, command)))


def bulk(argument: Argument) -> bytes:
    """Spell one argument of a command."""
    if not isinstance(argument, bytes):
        argument = str(argument).encode()
    return b"$%d\r\n%b\r\n" % (len(argument), argument)


def tracking(prefixes: Sequence[bytes]) -> Command:
    """Make the command that has the server say which keys with these prefixes are written."""
    told = [part for prefix in prefixes for part in (b"PREFIX", prefix)]
    return ("CLIENT", "TRACKING", "ON", "BCAST", *told)


class Connection:
    """An open connection. One question at a time, but where it has `replies`."""

    def __init__(self, connection: AbstractConnection, *, asking: bool = False) -> None:
        self._connection = connection
        self._asking = asking
        self._replies: Replies | None = None

    @classmethod
    async def to(
        cls, url: RedisUrl, address: Address | None, patience: float, *, asking: bool = False
    ) -> "Connection":
        """Connect to a server, or to the socket file. `asking`: it is still importing the slot."""
        wire = cls(url.connection(address, **_options(url.options)), asking=asking)
        await wire._open(patience)
        return wire

    @classmethod
    async def to_sentinel(cls, url: RedisUrl, address: Address, patience: float) -> "Connection":
        """Connect to a Sentinel."""
        wire = cls(url.sentinel_connection(address, **_options(url.sentinel_options)))
        await wire._open(patience)
        return wire

    async def ask(self, *command: Argument, patience: float) -> Any:
        """Send a command and return its reply. `patience`: seconds.

        Raises:
            redis.exceptions.ResponseError: the server refuses; the connection stays open.
            one of BROKEN: no reply in time, or the connection broke; it is closed.
        """
        return await self.ask_packed(packed(command), patience=patience)

    async def ask_packed(self, command: bytes, *, patience: float, rest: float = 0) -> Any:
        """Do so with a command that is packed already, after `rest` seconds. Raises as `ask`."""
        [reply] = await self.exchange([command], patience=patience, rest=rest)
        if isinstance(reply, exceptions.ResponseError):
            raise reply
        return reply

    async def ask_all(self, commands: Sequence[Command], *, patience: float) -> list[Any]:
        """Send commands in one write, and return their replies; a refusal is one of them.

        Raises:
            one of BROKEN, but no ResponseError: it is closed.
        """
        return await self.exchange([packed(command) for command in commands], patience=patience)

    async def exchange(
        self, commands: Sequence[bytes], *, patience: float, rest: float = 0
    ) -> list[Any]:
        """Do so with commands that are packed already.

        Raises:
            one of BROKEN, but no ResponseError: it is closed.
        """
        if self._asking:
            commands = [each for one in commands for each in (_ASKING, one)]
        sent, count = b"".join(commands), len(commands)
        try:
            if self._replies is not None:
                replies = await self._replies.exchange(sent, count, patience, rest)
            else:
                await asyncio.sleep(rest)
                replies = await self._exchange_by_redis_py(sent, count, patience)
        except BaseException:  # a cancelled one too: its reply would be taken for the next one's
            await self.close()
            raise
        if not self._asking:
            return replies
        pairs = zip(replies[::2], replies[1::2], strict=True)
        return [leave if isinstance(leave, exceptions.ResponseError) else it for leave, it in pairs]

    @property
    def replies(self) -> Replies | None:
        """What may be asked by directly, several questions at a time; None: redis-py alone asks."""
        return self._replies

    def send_now(self) -> None:
        """Rest no longer before what is to be sent."""
        if self._replies is not None:
            self._replies.send_now()

    async def _exchange_by_redis_py(self, sent: bytes, count: int, patience: float) -> list[Any]:
        if not self._connection.is_connected:  # it would connect anew, and say nothing
            raise exceptions.ConnectionError("the connection was closed")
        async with asyncio.timeout(patience):
            await self._connection.send_packed_command(sent, check_health=False)
            return [await self._reply() for _ in range(count)]

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(timeout=inf)
        except exceptions.ResponseError as refusal:
            return refusal

    async def close(self) -> None:
        """Disconnect, without waiting for the other side."""
        if self._replies is not None:
            self._replies.end()
        await self._connection.disconnect(nowait=True)

    async def _open(self, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                # redis-py left this one method without types
                await self._connection.connect()  # type: ignore[no-untyped-call]
                self._replies = Replies.of(self._connection)
        except BaseException:  # a cancelled one too: nothing stays open
            await self.close()
            raise


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return our options, but for what the URL says itself."""
    return {name: value for name, value in _OPTIONS.items() if name not in given}
