-- Log out: end the session that a refresh token of ours belongs to, be the token spent or not.
-- The token's MAC has proved that it was minted for this user and session.
--
-- It is what the service is asked most in a storm, so it stands alone: prelude.lua, and `finish` of
-- finish.lua, would take a seventh of Redis' time for the call.
--
-- keys and arguments as in prelude.lua and feed.lua
-- session_id, session_hex: the same id, raw and in hex
-- presented: digest of the token, '' where there is none. Most are the one that is valid now, and spare
-- the look for its digest in the index
-- Outcome: the number of its entry in the feed, it has ended now; 0 there was none any more

local call = redis.call
local key, everybody = SESSION .. tag .. presented, BEFORE .. tag:sub(1, 4)
local stored = presented ~= '' and call('MGET', key, everybody) or {}
if not stored[1] then
  local digest = call('HGET', index, session_id)
  if not digest then return 0 end
  key = SESSION .. tag .. digest
  stored = call('MGET', key, everybody)
end
if call('HDEL', index, session_id) == 0 then return 0 end -- a cut-off of many leaves their records
call('DEL', key, HANDOFF .. tag .. session_id)
local record, cut_off = stored[1], stored[2]
if not record then return 0 end
if cut_off and #record > 10 and struct.unpack('>I6', record, 6) <= tonumber(cut_off) then
  return 0 -- as in everybody.lua
end
call('XADD', events, '*', 'type', 'user.loggedOut', 'user', user, 'ip', ip, 'request', request,
  'session', session_hex)
local number = call('INCR', revocations)
call('XADD', revoked, '*', 'n', number, 's', session_id)
if number % 64 == 0 then -- often enough: saying it in each XADD would cost more
  if call('XLEN', events) > EVENTS_MAX then make_room(events) end
  local time = call('TIME')
  local before = time[1] * 1000 + math.floor(time[2] / 1000) - feed_life
  local newest = call('XREVRANGE', revoked, before, '-', 'COUNT', 1)[1]
  if newest then call('XTRIM', revoked, 'MINID', newest[1]) end
end
return number
