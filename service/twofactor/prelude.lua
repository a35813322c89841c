-- Stands before each script of this package: what they share.
--
-- KEYS[1] sessions:{b}:<uid>, the user's index    KEYS[2] events:{b}
-- ARGV[1] how many events the stream keeps        ARGV[2] user id, hex
-- ARGV[3] address of the client, '' if unknown    ARGV[4] request id
-- The last of ARGV: for how long a change of the user row may be under way, ms

local index, events = KEYS[1], KEYS[2]
local MOST_WRONG_TRIES = 5

local function emit(what, ...)
  redis.call('XADD', events, 'MAXLEN', '~', ARGV[1], '*', 'type', what, 'user', ARGV[2],
    'ip', ARGV[3], 'request', ARGV[4], ...)
end

-- While changes of the user row are under way, `v` of the index makes pods ask the user store. It
-- then is '?', how many they are, the highest version that one of them has published, and when the
-- latest began. Only the last to publish ends that: until then the row may be newer already. A
-- killed process leaves '?' behind, which is slower and never wrong.
local LONGEST_CHANGE = tonumber(ARGV[#ARGV])

local function version_state()
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local known = redis.call('HGET', index, 'v') or '0'
  local count, highest, began = known:match('^%?(%d+) (%d+) (%d+)$')
  if not count then return now, 0, tonumber(known), now end
  if now - began > LONGEST_CHANGE then count = 0 end
  return now, tonumber(count), tonumber(highest), began
end

local function announce_change()
  local now, count, highest = version_state()
  redis.call('HSET', index, 'v', string.format('?%d %d %.0f', count + 1, highest, now))
  -- Somebody may sign in meanwhile.
  if redis.call('PTTL', index) < LONGEST_CHANGE then redis.call('PEXPIRE', index, LONGEST_CHANGE) end
end

-- Whether this version was news. Without an index nobody is signed in and nobody asks.
local function publish(version)
  if redis.call('EXISTS', index) == 0 then return false end
  local _, count, before, began = version_state()
  local highest = math.max(before, tonumber(version))
  if count > 1 then
    redis.call('HSET', index, 'v', string.format('?%d %d %s', count - 1, highest, began))
  else
    redis.call('HSET', index, 'v', highest)
  end
  return highest > before
end

-- Let a code of this step count, once: only a step newer than the last accepted one of the secret.
local function accept_step(watermark, step, life)
  if tonumber(step) <= tonumber(redis.call('GET', watermark) or 0) then return false end
  redis.call('SET', watermark, step, 'PX', life)
  return true
end
