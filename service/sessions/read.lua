-- Read a session.
--
-- ARGV[7] session id
-- Outcome: {record, expires at in ms}, or nil when it has ended

local record, key = living(ARGV[7])
if not record then return nil end
return {record, redis.call('PEXPIRETIME', key)}
