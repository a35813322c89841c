-- After everybody.lua, before the scripts that look at other sessions of the user.

local function hex(bytes)
  return string.format(string.rep('%02x', #bytes), bytes:byte(1, -1))
end

-- Every living session of the user, as {sid, record, key}, and the ids of those that have expired.
-- What is no session id is another version's business, or says something of the user.
local function all_living()
  local found, expired, entries = {}, {}, redis.call('HGETALL', index)
  local before = redis.call('GET', BEFORE .. tag:sub(1, 4))
  for i = 1, #entries, 2 do
    local sid, key = entries[i], SESSION .. tag .. entries[i + 1]
    if #sid == SESSION_ID_BYTES then
      local record = redis.call('GET', key)
      if record and not is_over(record, before) then
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
