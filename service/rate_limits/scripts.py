"""The scripts of this package, with their keys and arguments."""

from typing import Any

from service.redis.scripts import Arguments, Key, Keys, script

_MOST_NOTED = 64
"""Full lists of networks that are noted of an account, until it is looked which still matter."""


@script("rate_limits/waits.lua", "rate_limits/count.lua", constants={"MOST_NOTED": _MOST_NOTED})
def count(*, lists: Keys, limits: Arguments) -> Any:
    """Count an attempt under all of its limits, or under none."""


@script(
    text="""
for i, key in ipairs(lists) do
  if i <= tonumber(uncounted) then
    redis.call('LREM', key, -1, ticket)
  else
    local oldest = redis.call('LINDEX', key, 0)
    while oldest and tonumber(oldest) <= tonumber(ticket) do
      redis.call('LPOP', key)
      oldest = redis.call('LINDEX', key, 0)
    end
  end
end
""",
    acknowledged=False,  # lost, it leaves one attempt too many counted, not one too few
)
def take_back(*, lists: Keys, ticket: bytes, uncounted: int) -> Any:
    """Take back an attempt that was not a wrong one.

    From the first lists, so many as `uncounted` says, that one; from the others all up to it.
    """


@script("rate_limits/waits.lua", "rate_limits/look.lua", acknowledged=False)
def look(*, lists: Keys, limits: Arguments) -> Any:
    """Tell how long each limit makes one wait, ms."""


@script(
    text="""
local time = redis.call('TIME')
redis.call('DEL', attempts, noted)
redis.call('HSET', noted, 'forgiven', string.format('%.0f', time[1] * 1000000 + time[2]))
redis.call('PEXPIRE', noted, life)
"""
)
def forgive_account(*, attempts: Key, noted: Key, life: int) -> Any:
    """Forget an account's attempts, and let those from each network up to now count no more.

    `attempts`: those from anywhere. `life`: how long an attempt from a network matters, ms.
    """
