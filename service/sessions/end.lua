-- Log out: end the session that a refresh token of ours belongs to, be the token spent or not.
-- The token's MAC has proved that it was minted for this user and session.
--
-- It is what the service is asked most in a storm, so it stands alone: prelude.lua and `finish` in it
-- would take a seventh of Redis' time for the call.
--
-- KEYS and ARGV[1] to [6] as in prelude.lua
-- ARGV[7] session id    ARGV[8] the same in hex
-- Outcome: 1 ended now, 0 there was no such session any more

local call, index, sid = redis.call, KEYS[1], ARGV[7]
local digest = call('HGET', index, sid)
if not digest then return 0 end
call('HDEL', index, sid)
call('DEL', ARGV[2] .. sid)
if call('DEL', ARGV[1] .. digest) == 0 then return 0 end
call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'type', 'user.loggedOut', 'user', ARGV[4],
  'session', ARGV[8], 'ip', ARGV[5], 'request', ARGV[6])
return 1
