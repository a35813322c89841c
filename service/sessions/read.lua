-- Read a session.
--
-- ARGV[7] session id
-- Outcome: {record, expires at in ms, version of the user row}, or nil when it has ended. The version
-- is false where none was noted (as at signup), '?' while it changes.

local record, key = living(ARGV[7])
if not record then return nil end
return {record, redis.call('PEXPIRETIME', key), redis.call('HGET', index, VERSION_FIELD)}
