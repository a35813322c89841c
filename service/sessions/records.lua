-- After prelude.lua, before the scripts that write a record or look at all of a user's sessions.

-- Offsets 0 to 22 of a record (record.py): version, generation, opened, last used, ends at the latest.
local HEADER, HEADER_BYTES = '>BI4I6I6I6', 23

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Every living session of the user, as {sid, record, key}; forgets those that have expired.
local function all_living()
  local found, entries = {}, redis.call('HGETALL', index)
  for i = 1, #entries, 2 do
    local sid, key = entries[i], session_prefix .. entries[i + 1]
    local record = sid ~= VERSION_FIELD and redis.call('GET', key)
    if record then
      found[#found + 1] = {sid, record, key}
    elseif sid ~= VERSION_FIELD then
      redis.call('HDEL', index, sid)
    end
  end
  return found
end

-- Keep `record` under `digest` until `expiry` (ms since 1970); the index lives as long as its longest.
local function keep(sid, digest, record, expiry)
  redis.call('SET', session_prefix .. digest, record, 'PXAT', expiry)
  redis.call('HSET', index, sid, digest)
  if redis.call('PEXPIRETIME', index) < expiry then
    redis.call('PEXPIREAT', index, expiry)
  end
end
