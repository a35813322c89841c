-- After prelude.lua, before the scripts that write a record or look at all of a user's sessions.

-- Offsets 0 to 22 of a record (record.py): version, generation, opened, last used, ends at the latest.
local HEADER, HEADER_BYTES = '>BI4I6I6I6', 23

-- Every living session of the user, as {sid, record, key}, and the ids of those that have expired.
local function all_living()
  local found, expired, entries = {}, {}, redis.call('HGETALL', index)
  for i = 1, #entries, 2 do
    local sid, key = entries[i], session_prefix .. entries[i + 1]
    if sid ~= VERSION_FIELD then
      local record = redis.call('GET', key)
      if record then
        found[#found + 1] = {sid, record, key}
      else
        expired[#expired + 1] = sid
      end
    end
  end
  return found, expired
end

local function forget(expired)
  for _, sid in ipairs(expired) do redis.call('HDEL', index, sid) end
end

-- Keep `record` under `digest` until `expiry` (ms since 1970); the index lives as long as its longest.
local function keep(sid, digest, record, expiry)
  local longest = redis.call('PEXPIRETIME', index)
  redis.call('SET', session_prefix .. digest, record, 'PXAT', expiry)
  redis.call('HSET', index, sid, digest)
  if longest < expiry then redis.call('PEXPIREAT', index, expiry) end
end
