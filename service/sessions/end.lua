-- Log out: end the session that a refresh token of ours belongs to, be the token spent or not.
-- The token's MAC has proved that it was minted for this user and session.
--
-- It is what the service is asked most in a storm, so it stands alone: prelude.lua, and `finish` of
-- feed.lua, would take a seventh of Redis' time for the call.
--
-- KEYS and ARGV[1] to [6] as in prelude.lua, KEYS[3] and [4] as in feed.lua
-- ARGV[7] session id                  ARGV[8] the same in hex
-- ARGV[9] how long an entry of the feed matters, ms
-- Outcome: 1 ended now, 0 there was no such session any more

local call, index, sid = redis.call, KEYS[1], ARGV[7]
local digest = call('HGET', index, sid)
if not digest then return 0 end
call('HDEL', index, sid)
call('DEL', ARGV[2] .. sid)
if call('DEL', ARGV[1] .. digest) == 0 then return 0 end
call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'type', 'user.loggedOut', 'user', ARGV[4],
  'session', ARGV[8], 'ip', ARGV[5], 'request', ARGV[6])
local number = call('INCR', KEYS[4])
call('XADD', KEYS[3], '*', 'n', number, 's', sid)
if number % 64 == 0 then
  local time = call('TIME')
  local before = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[9]
  local newest = call('XREVRANGE', KEYS[3], before, '-', 'COUNT', 1)[1]
  if newest then call('XTRIM', KEYS[3], 'MINID', newest[1]) end
end
return 1
