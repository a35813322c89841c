"""Lua that the client puts before each script: what it is bound by, and what its server needs.

In Lua `KEYS[1]` is the first key of the script that follows, whichever that is.
"""

from datetime import timedelta

import msgspec

from service.rates import Rate
from service.redis.keys import BARRIER, BARRIER_LIFE, DROPPED, DROPPED_LIFE, EVENTS_KEPT

PROVIDED = frozenset({"EVENTS_MAX", "CALLS_MOST", "CALLS_WINDOW", "HAS_FLOORS", "make_room"})
"""What scripts that change something may use of it, by name."""


class Bounds(msgspec.Struct, frozen=True):
    """Bounds from settings that scripts check: events in a stream; calls of a kind in a time.

    `floors`: each bucket has a floor of its TOTP steps; without one it has lost its memory.
    """

    events: int = EVENTS_KEPT
    calls: Rate | None = None
    floors: bool = False

    def constants(self) -> str:
        """Spell them as locals of a script."""
        calls = self.calls or Rate(0, timedelta(0))
        window = calls.window // timedelta(milliseconds=1)
        values = f"{self.events}, {calls.most}, {window}, {str(self.floors).lower()}"
        return f"local EVENTS_MAX, CALLS_MOST, CALLS_WINDOW, HAS_FLOORS = {values}"


_TO_WRITE_FIRST = f"""
redis.call('SET', '{BARRIER}' .. KEYS[1]:match('{{%x%x}}'), '', 'PX', {BARRIER_LIFE})"""
"""A script that finds nothing to change would not wait for anything: what an earlier call has
changed, and nobody has acknowledged, must be waited for again. `WAIT` waits for what its own
connection has written, so each change writes something."""

_MAKE_ROOM = f"""
-- Drop events of a stream that has too many: of a user who stands out among the newest, or else
-- among those before some random times; the oldest where nobody has five of a hundred. Some more
-- than needed, so that it is seldom done.
local function make_room(events)
  local call, before, random = redis.call, '+', redis.call('TIME')[2] / 1000000
  local last, of, most, size = nil, {{}}, nil, 0
  for _ = 1, 7 do
    for _, entry in ipairs(call('XREVRANGE', events, before, '-', 'COUNT', 100)) do
      last = last or tonumber(entry[1]:match('^%d+'))
      local user = entry[2][4]
      local ids = of[user] or {{}}
      if not ids[entry[1]] then
        ids[entry[1]], ids[#ids + 1] = true, entry[1]
      end
      of[user] = ids
      if #ids > size then most, size = user, #ids end
    end
    if size >= 5 then break end
    random = (random + 0.618) % 1 -- of a millisecond to twelve days ago, each scale as often
    before = string.format('%.0f', last - 2 ^ (30 * random))
  end
  local excess = call('XLEN', events) - EVENTS_MAX
  local wanted, dropped = excess + 31, 0
  if size >= 5 then
    dropped = call('XDEL', events, unpack(of[most], 1, math.min(size, wanted)))
  end
  if dropped < excess then
    dropped = dropped + call('XTRIM', events, 'MAXLEN', EVENTS_MAX)
  end
  call('INCRBY', events .. '{DROPPED}', dropped)
  call('PEXPIRE', events .. '{DROPPED}', {DROPPED_LIFE})
end
"""
"""A Lua function for scripts that have added to a stream of events beyond `EVENTS_MAX`."""

_WHILE_A_SLOT_MOVES = """
redis.call('EXISTS', KEYS[1], KEYS[1] .. '?')"""
"""While a slot moves key by key, some of a user's keys are here and some are there. A script would
take what is not here for absent, or break off half-way. Asking for two keys, one of which is never
there, fails in that state, and costs nothing in any other. (Valkey 9 moves whole slots at once.)"""


def before_reading(in_cluster: bool) -> str:
    """Make the Lua that stands before each script that only reads."""
    return _WHILE_A_SLOT_MOVES if in_cluster else ""


def before_changing(bounds: Bounds, in_cluster: bool, wait_for_replicas: bool) -> str:
    """Make the Lua that stands before each script that changes something."""
    return (
        bounds.constants()
        + _MAKE_ROOM
        + before_reading(in_cluster)
        + (_TO_WRITE_FIRST if wait_for_replicas else "")
    )
