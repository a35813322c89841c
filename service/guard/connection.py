"""One connection to one Redis server, which breaks loudly.

redis-py makes the connection (TLS, AUTH, database, parser). It would also mend a broken one and say
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

Argument = bytes | str | int
Command = Sequence[Argument]

BROKEN = (exceptions.RedisError, OSError, TimeoutError)
"""What a connection may raise: by then it is closed, unless the server has merely refused."""

_ASKING: Command = ("ASKING",)
_OPTIONS: dict[str, Any] = {
    "protocol": 2,
    "retry": Retry(NoBackoff(), 0),
    "socket_timeout": None,
    "driver_info": DriverInfo(name="", lib_version=""),  # a user need not be allowed CLIENT SETINFO
}


class Connection:
    """An open connection. One question at a time."""

    def __init__(self, connection: AbstractConnection, *, asking: bool = False) -> None:
        self._connection = connection
        self._asking = asking

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
        [reply] = await self.ask_all([command], patience=patience)
        if isinstance(reply, exceptions.ResponseError):
            raise reply
        return reply

    async def ask_all(self, commands: Sequence[Command], *, patience: float) -> list[Any]:
        """Send commands in one write, and return their replies; a refusal is one of them.

        Raises:
            one of BROKEN, but no ResponseError: it is closed.
        """
        sent = [each for one in commands for each in (_ASKING, one)] if self._asking else commands
        try:
            async with asyncio.timeout(patience):
                packed = self._connection.pack_commands(sent)
                await self._connection.send_packed_command(packed, check_health=False)
                replies = [await self._reply() for _ in sent]
        except BaseException:  # a cancelled one too: its reply would be taken for the next one's
            await self.close()
            raise
        if not self._asking:
            return replies
        pairs = zip(replies[::2], replies[1::2], strict=True)
        return [leave if isinstance(leave, exceptions.ResponseError) else it for leave, it in pairs]

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(timeout=inf)
        except exceptions.ResponseError as refusal:
            return refusal

    async def close(self) -> None:
        """Disconnect, without waiting for the other side."""
        await self._connection.disconnect(nowait=True)

    async def _open(self, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                # redis-py left this one method without types
                await self._connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:  # a cancelled one too: nothing stays open
            await self.close()
            raise


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return our options, but for what the URL says itself."""
    return {name: value for name, value in _OPTIONS.items() if name not in given}
