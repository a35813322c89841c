"""Asks a server who it is, and whose feed it holds, before it is trusted with a command."""

import msgspec
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.redis.feed_mark import issuer_in
from service.redis.keys import numbered
from service.redis.refusals import ForeignServer


class Identity(msgspec.Struct, frozen=True):
    """What a server says of itself; all empty where our user may not ask."""

    role: str = ""
    run_id: str = ""
    history: str = ""
    """The id of its data's history (`master_replid`): replicas share it with their primary."""
    before: str = ""
    """That of the primary that it followed before it was promoted (`master_replid2`)."""

    @classmethod
    def read(cls, info: bytes) -> "Identity":
        """Read what INFO says."""
        fields = dict(line.partition(":")[::2] for line in info.decode().splitlines())
        names = ("role", "run_id", "master_replid", "master_replid2")
        return cls(*(fields.get(name, "") for name in names))

    def goes_on_from(self, history: str) -> bool:
        """Tell whether it is a primary with the data of that history."""
        return self.role == "master" and history != "" and history in (self.history, self.before)


async def identity_of(connection: AbstractConnection) -> Identity:
    """Ask a server who it is. Raises `redis.exceptions.ConnectionError` or `OSError`."""
    await connection.send_command("INFO", "server", "replication", check_health=False)
    try:
        info: bytes = await connection.read_response()
    except exceptions.ResponseError:  # our user may not ask, and nothing depends on it but speed
        return Identity()
    return Identity.read(info)


async def issuer_of(connection: AbstractConnection, bucket: int = 0) -> str | None:
    """Read whose mark the feed of a bucket bears; `None`: nobody's, or the server does not tell."""
    key = numbered(bucket).issuer
    await connection.send_command("XREVRANGE", key, "+", "-", "COUNT", 2, check_health=False)
    try:
        return issuer_in(await connection.read_response()) or None
    except exceptions.ResponseError:  # it may not tell, or does not have this bucket
        return None


async def refuse_foreign(connection: AbstractConnection, issuer: str, bucket: int) -> None:
    """Disconnect from a server whose feed in this bucket bears the mark of another issuer.

    Where it bears none, nobody has marked it yet. `issuer`: ours; empty: any will do.

    Raises:
        ForeignServer
    """
    theirs = await issuer_of(connection, bucket) if issuer else None
    if theirs and theirs != issuer:
        await connection.disconnect(nowait=True)
        raise ForeignServer(theirs, issuer)
