-- Read a session. It is asked more often than anything else, so it stands alone.
--
-- key index    arguments tag · session_id
-- Outcome: {record, expires at in ms, version of the user row}, or nil when it has ended. The version
-- is false where none was noted (as at signup), '?' while it changes.

local found = redis.call('HMGET', index, session_id, VERSION_FIELD)
if not found[1] then return nil end
local key = SESSION .. tag .. found[1]
local record = redis.call('GET', key)
if not record then return nil end
return {record, redis.call('PEXPIRETIME', key), found[2]}
