-- Before the scripts that look for one session.

-- The record and the key of the session `sid`, and what is noted of the user row (row_version.py);
-- nothing when it has ended.
local function living(sid)
  local found = redis.call('HMGET', index, sid, VERSION_FIELD)
  if not found[1] then return nil end
  local key = SESSION .. tag .. found[1]
  local record = redis.call('GET', key)
  if not record then return nil end
  return record, key, found[2]
end
