-- After prelude.lua, before the scripts that announce or publish a change of the user row.
--
-- The protocol and its states: row_version.py.

-- Of what is noted, or is `known` to be: the time now, how many changes are under way, the highest
-- version, and when the latest began.
local function version_state(known)
  local now = now_ms()
  known = known or redis.call('HGET', index, VERSION_FIELD) or '0'
  local count, highest, began = known:match(CHANGING)
  if not count and not known:match(SETTLED) then unknown('the version of the user row') end
  if not count then return now, 0, tonumber(known), now end
  if now - began > LONGEST_CHANGE then count = 0 end
  return now, tonumber(count), tonumber(highest), began
end

local function announce_change()
  local now, count, highest = version_state()
  redis.call('HSET', index, VERSION_FIELD, string.format('?%.0f %.0f %.0f', count + 1, highest, now))
  -- Who came during another change, which may never end, has not come during this one.
  local meanwhile = redis.call('HGET', index, MEANWHILE_FIELD)
  if meanwhile and meanwhile:sub(-#ANNOUNCED) ~= ANNOUNCED then
    meanwhile = (meanwhile .. ANNOUNCED):sub(-#ANNOUNCED * MOST_MEANWHILE)
    redis.call('HSET', index, MEANWHILE_FIELD, meanwhile)
  end
  -- Somebody may sign in meanwhile.
  if redis.call('PTTL', index) < LONGEST_CHANGE then redis.call('PEXPIRE', index, LONGEST_CHANGE) end
end

-- What is to be noted once this version is published; and whether it was news.
local function noted_after(version, known)
  local _, count, before, began = version_state(known)
  local highest = math.max(before, tonumber(version))
  local state = string.format('%.0f', highest)
  if count > 1 then state = string.format('?%.0f %.0f %s', count - 1, highest, began) end
  return state, highest > before
end

-- Publish this version. Whether it was news. Without an index nobody is signed in and nobody asks.
local function publish(version)
  if redis.call('EXISTS', index) == 0 then return false end
  local state, is_news = noted_after(version)
  redis.call('HSET', index, VERSION_FIELD, state)
  if state:byte(1) ~= CHANGING_BYTE then redis.call('HDEL', index, MEANWHILE_FIELD) end
  return is_news
end
