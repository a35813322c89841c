-- Before the scripts that look for one session.

-- The record and the key of the session `sid`; nothing when it has ended.
local function living(sid)
  local digest = redis.call('HGET', index, sid)
  if not digest then return nil end
  local key = SESSION .. tag .. digest
  local record = redis.call('GET', key)
  if not record then return nil end
  return record, key
end
