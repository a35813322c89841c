"""A client whose scripts see a time of the test's, so that each bound is met to the millisecond."""

import time
from typing import Any

from tools.testbed.redis_server import RedisServer

from service.redis.client import RedisClient
from service.redis.preamble import Bounds

_TIME = """
local server = redis
local redis = {{call = function(command, ...)
  if command == 'TIME' then return {{'{seconds}', '{microseconds}'}} end
  return server.call(command, ...)
end}}"""


class ScriptClock(RedisClient):
    """For scripts that change something. Keys expire by the server's own clock."""

    def __init__(self, server: RedisServer, bounds: Bounds | None = None) -> None:
        super().__init__(server.url, bounds=bounds)
        self._bare = self.before_changing
        self.start = int(time.time()) * 1000 + 999
        """The end of the present second, ms since 1970: what is seen until it is moved."""
        self.now = self.start
        self.move(0)

    def move(self, ms: int, microseconds: int = 500) -> None:
        """Have scripts see the time so long after the start, and so many microseconds more."""
        self.now = self.start + ms
        seconds, rest = divmod(self.now, 1000)
        self.before_changing = self._bare + _TIME.format(
            seconds=seconds, microseconds=rest * 1000 + microseconds
        )

    def gave(self, life: int, client: Any, key: bytes) -> bool:
        """Whether the key was given this life in ms, by the server's clock, since the start."""
        seconds, microseconds = client.time()
        given = client.pexpiretime(key) - life
        return bool(self.start - 999 <= given <= seconds * 1000 + microseconds // 1000)
