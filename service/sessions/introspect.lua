-- Read a session, and the digest of the refresh token that is valid now.
--
-- key index    arguments tag · session_id
-- Outcome: {digest, record, expires at in ms, version of the user row} as in read.lua, or nil when it
-- has ended.

local record, key, version = living(session_id)
if not record then return nil end
return {key:sub(#SESSION + #tag + 1), record, redis.call('PEXPIRETIME', key), version}
