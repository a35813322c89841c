-- After everybody.lua, before the scripts that look at other sessions of the user.

-- The id of a session in hex. (`%02x` for each byte would cost four times as much.)
local function hex(id)
  local a, b, c = struct.unpack('>I4I4I4', id)
  return bit.tohex(a) .. bit.tohex(b) .. bit.tohex(c)
end

-- Every living session of the user, ids, records and keys in the same places, and the ids of those that
-- have expired. What is no session id is another version's business, or says something of the user.
local function all_living()
  local entries, before = redis.call('HGETALL', index), redis.call('GET', BEFORE .. tag:sub(1, 4))
  local all, names, prefix, count = {}, {}, SESSION .. tag, 0
  for i = 1, #entries, 2 do
    if #entries[i] == SESSION_ID_BYTES then
      count = count + 1
      all[count], names[count] = entries[i], prefix .. entries[i + 1]
    end
  end
  local ids, records, keys, expired, living = {}, {}, {}, {}, 0
  for start = 1, count, AT_ONCE do
    local last = math.min(start + AT_ONCE - 1, count)
    local found = redis.call('MGET', unpack(names, start, last))
    for i = start, last do
      local record = found[i - start + 1]
      -- GET: an error where something else is there, for which MGET answers nothing.
      if not record then redis.call('GET', names[i]) end
      if record and not (before and is_over(record, before)) then
        living = living + 1
        ids[living], records[living], keys[living] = all[i], record, names[i]
      else
        expired[#expired + 1] = all[i]
      end
    end
  end
  return ids, records, keys, expired
end

local function forget(expired)
  for start = 1, #expired, AT_ONCE do
    redis.call('HDEL', index, unpack(expired, start, math.min(start + AT_ONCE - 1, #expired)))
  end
end
