-- Read a session. It is asked more often than anything else, so it stands alone.
--
-- key index    arguments tag · session_id
-- Outcome: {record, expires at in ms, version of the user row}, or nil when it has ended. The version
-- is false where none was noted (as at signup), '?' while it changes.

local found = redis.call('HMGET', index, session_id, VERSION_FIELD)
if not found[1] then return nil end
local key = SESSION .. tag .. found[1]
local stored = redis.call('MGET', key, BEFORE .. tag:sub(1, 4))
local record = stored[1]
if not record then
  redis.call('GET', key) -- an error where something else is there, for which MGET answers nothing
  return nil
end
local before = stored[2] -- as in everybody.lua
if before and #record > 10 and struct.unpack('>I6', record, 6) <= tonumber(before) then return nil end
return {record, redis.call('PEXPIRETIME', key), found[2]}
