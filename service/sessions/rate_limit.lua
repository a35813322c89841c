-- After prelude.lua, before the scripts that are limited in how often they do something.
--
-- CALLS_MOST, CALLS_WINDOW (ms): from service/redis/preamble.py; no limit where CALLS_MOST is 0

-- Count a call under this name: nil, or how many ms until one would be counted. `before` is when one
-- was that the list may not know, or nil.
local function count_call(name, now, before)
  if CALLS_MOST == 0 then return nil end
  local key = ATTEMPTS .. tag .. name
  local oldest = redis.call('LINDEX', key, -CALLS_MOST)
  if oldest and now - oldest < CALLS_WINDOW then
    return math.min(CALLS_WINDOW - now + oldest, CALLS_WINDOW)
  end
  if before and redis.call('EXISTS', key) == 0 then redis.call('RPUSH', key, before) end
  if redis.call('RPUSH', key, now) > CALLS_MOST then redis.call('LPOP', key) end
  redis.call('PEXPIRE', key, CALLS_WINDOW)
  return nil
end
