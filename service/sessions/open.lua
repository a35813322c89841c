-- Open a session. Past the limit, the oldest of the user's sessions go.
--
-- KEYS[3], KEYS[4] and the last of ARGV as in feed.lua
-- ARGV[7] session id              ARGV[8] digest of its refresh token
-- ARGV[9] version                 ARGV[10] authentication, one byte
-- ARGV[11] device                 ARGV[12] idle life, ms
-- ARGV[13] absolute life, ms      ARGV[14] sessions that a user may have
-- ARGV[15] the event: user.signedUp or user.loggedIn
-- ARGV[16] version of the user row that the caller has read; 0: as at signup
-- Outcome: {record, expires at in ms}

local sid, most, now = ARGV[7], tonumber(ARGV[14]), now_ms()
local known = redis.call('HGET', index, VERSION_FIELD)

if redis.call('HLEN', index) >= most then
  local sessions, expired = all_living()
  forget(expired)
  for _, session in ipairs(sessions) do
    session.opened = select(3, struct.unpack(HEADER, session[2]))
  end
  table.sort(sessions, function(a, b) return a.opened < b.opened end)
  for i = 1, #sessions - most + 1 do
    finish(sessions[i][1], sessions[i][3])
    emit('session.revoked', sessions[i][1], 'reason', 'limit')
  end
end

local absolute = now + tonumber(ARGV[13])
local expiry = math.min(now + tonumber(ARGV[12]), absolute)
local record = struct.pack(HEADER, tonumber(ARGV[9]), 0, now, now, absolute) .. ARGV[10] .. ARGV[11]
keep(sid, ARGV[8], record, expiry)
-- '?' announces a change that is under way (twofactor/prelude.lua); it is not ours to call off.
if ARGV[16] ~= '0'
  and (not known or (known:sub(1, 1) ~= '?' and tonumber(known) < tonumber(ARGV[16]))) then
  redis.call('HSET', index, VERSION_FIELD, ARGV[16])
end
emit(ARGV[15], sid)
return {record, expiry}
