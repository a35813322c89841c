-- After everybody.lua, before the scripts that look for one session.

-- The record and the key of the session `sid`, and what is noted of the user row (row_version.py);
-- nothing when it has ended.
local function living(sid)
  local found = redis.call('HMGET', index, sid, VERSION_FIELD)
  if not found[1] then return nil end
  local key = SESSION .. tag .. found[1]
  local stored = redis.call('MGET', key, BEFORE .. tag:sub(1, 4))
  local record = stored[1]
  if not record then
    redis.call('GET', key) -- an error where something else is there, for which MGET answers nothing
    return nil
  end
  if is_over(record, stored[2]) then return nil end
  return record, key, found[2]
end
