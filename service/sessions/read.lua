-- Read a session. It is asked more often than anything else, so it stands alone.
--
-- KEYS[1] sessions:{b}:<uid>, the user's index
-- ARGV[1] {b}:    ARGV[2] session id
-- SESSION, VERSION_FIELD: constants, from scripts.py
-- Outcome: {record, expires at in ms, version of the user row}, or nil when it has ended. The version
-- is false where none was noted (as at signup), '?' while it changes.

local found = redis.call('HMGET', KEYS[1], ARGV[2], VERSION_FIELD)
if not found[1] then return nil end
local key = SESSION .. ARGV[1] .. found[1]
local record = redis.call('GET', key)
if not record then return nil end
return {record, redis.call('PEXPIRETIME', key), found[2]}
