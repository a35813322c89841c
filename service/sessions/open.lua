-- Open a session. Past the limit, the oldest of the user's sessions go.
--
-- KEYS[3], KEYS[4] and the last of ARGV as in feed.lua
-- ARGV[5] session id              ARGV[6] the same in hex
-- ARGV[7] digest of its token     ARGV[8] version
-- ARGV[9] authentication, 1 byte  ARGV[10] device
-- ARGV[11] idle life, ms          ARGV[12] absolute life, ms
-- ARGV[13] sessions that a user may have
-- ARGV[14] the event: user.signedUp or user.loggedIn
-- ARGV[15] version of the user row that the caller has read; 0: as at signup
-- Outcome: {record, expires at in ms}

local sid, most, now = ARGV[5], tonumber(ARGV[13]), now_ms()
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
    emit('session.revoked', hex(sessions[i][1]), 'reason', 'limit')
  end
end

local life = math.min(tonumber(ARGV[12]), 2 ^ 40 - 1) -- what fits into a record
local expiry = now + math.min(tonumber(ARGV[11]), life)
local record = struct.pack(HEADER, tonumber(ARGV[8]), 0, now, 0, life) .. ARGV[9] .. ARGV[10]
keep(sid, ARGV[7], record, expiry)
-- '?' announces a change that is under way (twofactor/prelude.lua); it is not ours to call off.
if ARGV[15] ~= '0'
  and (not known or (known:sub(1, 1) ~= '?' and tonumber(known) < tonumber(ARGV[15]))) then
  redis.call('HSET', index, VERSION_FIELD, ARGV[15])
end
emit(ARGV[14], ARGV[6])
return {record, expiry}
