"""The rights of users of the Redis servers: the server's own `default`, and ours.

**The user `default` loads the data.** What a script changes stands in the append-only file between
MULTI and EXEC, and EXEC asks what the user of its connection may do. While a server reads the file,
that user is `default`, whether it is on or off. What it may not do is left out, silently: a logout
that was answered is undone by a restart (redis/redis#14541, valkey-io/valkey#3983). So `default`
needs leave for each command that scripts leave behind, on each kind of key; `user default off`
alone takes all leave away.

Whether it has that is asked with ACL DRYRUN, which looks at commands, keys and selectors as EXEC
does. ACL GETUSER would tell more than anybody should know: digests of that user's passwords.
"""

import asyncio

from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.redis.keys import KINDS, TAGS

COMMANDS = (
    "DEL EVAL EVALSHA EXISTS GET HDEL HGET HGETALL HLEN HMGET HSET INCR INCRBY LINDEX LPOP LREM "
    "MGET PEXPIRE PEXPIREAT PEXPIRETIME PTTL RPUSH SET TIME UNLINK XACK XADD XCLAIM XDEL "
    "XGROUP|CREATE XLEN XPENDING XRANGE XREADGROUP XREVRANGE XTRIM"
)
"""What our own user needs for its scripts, on every kind of key."""

_WRITTEN: dict[str, tuple[str, ...]] = {
    "HDEL": ("f",),
    "HSET": ("f", "v"),
    "INCR": (),
    "INCRBY": ("1",),
    "LPOP": (),
    "LREM": ("1", "v"),
    "PEXPIREAT": ("1",),
    "RPUSH": ("v",),
    "SET": ("v",),
    "SETRANGE": ("0", "v"),
    "XACK": ("g", "1-1"),
    "XADD": ("1-1", "f", "v"),
    "XCLAIM": ("g", "c", "0", "1-1"),
    "XDEL": ("1-1",),
    "XTRIM": ("MAXLEN", "1"),
}
"""What scripts leave in the append-only file, and what stands there behind the key. Besides, DEL
and UNLINK of several keys, as which an expiry is written, and SELECT."""

LOADING_LINE = "user default off resetpass ~* &* +@all"
"""The ACL line by which nobody can log in as `default`, and all is loaded."""


def commands_written() -> set[str]:
    """Return the names of the commands that `default` must be allowed."""
    return {*_WRITTEN, "DEL", "UNLINK", "SELECT", "XGROUP"}


def _questions() -> list[tuple[Argument, ...]]:
    keys = [f"{kind}:{TAGS[0].decode()}:x" for kind in KINDS]
    asked: list[tuple[Argument, ...]] = [("SELECT", "0"), ("DEL", *keys), ("UNLINK", *keys)]
    asked += [(name, key, *rest) for name, rest in _WRITTEN.items() for key in keys]
    asked += [("XGROUP", "SETID", key, "g", "1-1") for key in keys]
    return [("ACL", "DRYRUN", "default", *command) for command in asked]


_QUESTIONS = _questions()


async def missing_to_load(redis: RedisClient) -> str:
    """Find what the user `default` of a primary may not do though loading needs it; `""`: nothing.

    Raises:
        StoreUnavailable
        CommandRefused: our user may not ask (`+acl|dryrun`).
    """
    first = await redis.ask_all(*_QUESTIONS[0])  # alone, lest each that is refused be logged there
    replies = await asyncio.gather(*(redis.ask_all(*question) for question in _QUESTIONS[1:]))
    for question, verdicts in zip(_QUESTIONS, [first, *replies], strict=True):
        if any(verdict not in (b"OK", "OK") for verdict in verdicts):
            command, first_key, *_ = map(str, question[3:])
            kind, colon, _ = first_key.partition(":")
            return f"{command} {kind}:*" if colon else command
    return ""


async def lacks_rights_to_load(redis: RedisClient) -> str:
    """Say what `missing_to_load` has found in a sentence, without its capital and full stop."""
    missing = await missing_to_load(redis)
    if not missing:
        return ""
    return (
        f"the server's user `default` may not {missing}, so that a restart would not load every "
        f"change, and ended sessions would live again; set `{LOADING_LINE}`"
    )
