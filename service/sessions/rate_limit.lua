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

-- The same for a rotation. As long as a session rotates less often than once in the window, which it
-- does but for a flood, its record tells when it was last, and nothing is written.
local function count_rotation(sid, last, generation, now)
  if now - last >= CALLS_WINDOW then return nil end
  return count_call('refresh:' .. sid, now, generation > 0 and last or nil)
end
