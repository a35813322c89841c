-- Log out: end the session that a refresh token of ours belongs to, be the token spent or not.
-- The token's MAC has proved that it was minted for this user and session.
--
-- It is what the service is asked most in a storm, so it stands alone: prelude.lua, and `finish` of
-- feed.lua, would take a seventh of Redis' time for the call.
--
-- KEYS and ARGV[1] to [4] as in prelude.lua, KEYS[3] and [4] as in feed.lua
-- ARGV[5] session id                  ARGV[6] the same in hex
-- ARGV[7] how long an entry of the feed matters, ms
-- Outcome: 1 ended now, 0 there was no such session any more

local call, index, tag, sid = redis.call, KEYS[1], ARGV[1], ARGV[5]
local digest = call('HGET', index, sid)
if not digest then return 0 end
call('HDEL', index, sid)
call('DEL', HANDOFF .. tag .. sid)
if call('DEL', SESSION .. tag .. digest) == 0 then return 0 end
call('XADD', KEYS[2], '*', 'type', 'user.loggedOut', 'user', ARGV[2], 'session', ARGV[6],
  'ip', ARGV[3], 'request', ARGV[4])
local number = call('INCR', KEYS[4])
call('XADD', KEYS[3], '*', 'n', number, 's', sid)
if number % 64 == 0 then -- often enough: saying it in each XADD would cost more
  if call('XLEN', KEYS[2]) > EVENTS_MAX then make_room(KEYS[2]) end
  local time = call('TIME')
  local before = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[7]
  local newest = call('XREVRANGE', KEYS[3], before, '-', 'COUNT', 1)[1]
  if newest then call('XTRIM', KEYS[3], 'MINID', newest[1]) end
end
return 1
