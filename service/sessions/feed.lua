-- After prelude.lua, before the scripts that may end sessions.
--
-- keys        revoked, the feed of the bucket · revocations, how many entries it has had
-- argument    feed_life: how long an entry matters, ms

-- Let the guards hear of what has ended; `...`: the entry's fields (service/guard/entries.py). Each has
-- the next number, which is returned, so that they notice whatever they have missed.
local function tell_guards(...)
  local number = redis.call('INCR', revocations)
  redis.call('XADD', revoked, '*', 'n', number, ...)
  if number % 64 == 0 then -- often enough, and cheap
    -- Of those that matter no more the newest stays: by it a reader sees that none after it is gone.
    local newest = redis.call('XREVRANGE', revoked, now_ms() - feed_life, '-', 'COUNT', 1)[1]
    if newest then redis.call('XTRIM', revoked, 'MINID', newest[1]) end
  end
  return number
end
