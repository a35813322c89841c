"""Finds out whether Redis takes changes, by one that does no harm."""

import asyncio
import time
from typing import Any

import msgspec
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.keys import BARRIER, BARRIER_LIFE, BUCKETS, KINDS, TAGS
from service.redis.refusals import RightsMissing
from service.redis.rights import COMMANDS
from service.redis.scripts import Key, script


@script(
    "redis/probe.lua",
    constants={"KINDS": " ".join(KINDS), "COMMANDS": COMMANDS, "LIFE": BARRIER_LIFE},
)
def _write(*, barrier: Key) -> Any:
    """Write what every change could have written."""


class Written(msgspec.Struct, frozen=True):
    """The result of a probe. Times are in seconds."""

    missing: tuple[str, ...]
    """Commands and kinds of keys that our user may not use, though scripts need them."""

    skew: float
    """How far this machine's clock is ahead of Redis'; of several, of the one that differs most."""

    refused: tuple[StoreUnavailable, ...] = ()
    """Why some buckets of a cluster took no change."""


_RIGHTS = f"""
local missing, key = {{}}, '{BARRIER}{TAGS[0].decode()}'
for command in ('{COMMANDS}'):gmatch('%S+') do
  local name, part = command:match('^(%u+)|?(%u*)$')
  local behind = {{ key }}
  if name:sub(1, 4) == 'EVAL' then behind = {{ 'x', '1', key }} end
  if part ~= '' then behind = {{ part, key }} end
  if not redis.acl_check_cmd(name, unpack(behind)) then missing[#missing + 1] = command end
end
for kind in ('{" ".join(KINDS)}'):gmatch('%S+') do
  local name = kind .. ':{TAGS[0].decode()}:x'
  if not redis.acl_check_cmd('DEL', name) then missing[#missing + 1] = kind .. ':*' end
end
return missing"""


async def refuse_without_rights(connection: AbstractConnection) -> None:
    """Refuse a server where our user may not run all that scripts run, on all kinds of keys.

    A script that is refused its third write has made two. So none is sent unless all may run.
    Rights that are taken away later are noticed by a `probe`, or by the first call that lacks one:
    either leaves the connection, and the next one is looked at anew.

    Raises:
        RightsMissing
        redis.exceptions.ResponseError: the server runs no script now.
    """
    await connection.send_command("EVAL", _RIGHTS, 0, check_health=False)
    try:
        missing: list[bytes] = await connection.read_response()
    except exceptions.NoPermissionError:
        missing = [b"EVAL"]
    except exceptions.ResponseError:
        await connection.disconnect(nowait=True)
        raise
    if missing:
        await connection.disconnect(nowait=True)
        raise RightsMissing(", ".join(name.decode() for name in missing[:5]))


async def probe(redis: RedisClient) -> Written:
    """Write a key that ends by itself; in a cluster, one in each bucket, wherever it lies.

    Raises:
        StoreUnavailable: no bucket took it. Its cause is the server's error, if there was one."""
    buckets = range(BUCKETS) if redis.topology == "cluster" else range(1)
    found = await asyncio.gather(*(_probe(redis, n) for n in buckets), return_exceptions=True)
    refused = tuple(each for each in found if isinstance(each, StoreUnavailable))
    for each in found:
        if isinstance(each, BaseException) and (len(refused) == len(found) or each not in refused):
            raise each
    written = [each for each in found if isinstance(each, Written)]
    missing = {name: None for each in written for name in each.missing}
    if missing:
        await redis.leave("our user may not run all that scripts run")
    skew = max((each.skew for each in written), key=abs)
    return Written(tuple(missing), skew, refused)


async def _probe(redis: RedisClient, bucket: int) -> Written:
    before = time.time()
    missing, seconds, micros = await _write(redis, barrier=BARRIER.encode() + TAGS[bucket])
    there = int(seconds) + int(micros) / 1e6
    skew = (before + time.time()) / 2 - there
    return Written(tuple(name.decode() for name in missing), skew)
