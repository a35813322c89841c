-- Open a session. Past the limit, the oldest of the user's sessions go.
--
-- KEYS[3], KEYS[4] and the last of ARGV as in feed.lua
-- ARGV[5] session id              ARGV[6] the same in hex
-- ARGV[7] digest of its token     ARGV[8] version
-- ARGV[9] authentication, 1 byte  ARGV[10] device
-- ARGV[11] idle life, ms          ARGV[12] absolute life, ms
-- ARGV[13] sessions that a user may have
-- ARGV[14] the event: user.signedUp or user.loggedIn
-- ARGV[15] version of the user row that the caller has read; '' of one that nobody can have changed
-- ARGV[16] what was noted in the index before the caller has read that row, '' if not known
-- ARGV[17] the caller's clock, ms     ARGV[18] until when the access token would be valid, ms
-- Outcomes:
--   {'opened', record, expires at in ms}
--   {'changed', noted}   the row is not, or not for sure, the one that was read: read it again
--   {'clock'}     by the caller's clock the session, or by Redis' the access token, is over already
-- Whoever has read the row after its version was noted knows better: a change is announced before it
-- is written, so a number that still stands is one that a restored user store does not have. Whether an
-- announced change was written by now, only the user store knows: such a caller asks it afterwards.

local sid, most, now, read = ARGV[5], tonumber(ARGV[13]), now_ms(), ARGV[15]
local known = redis.call('HGET', index, VERSION_FIELD)
if known and not known:match('^%d+$') and not known:match('^%?%d+ %d+ %d+$') then
  return redis.error_reply('LAYOUT the version of the user row is not one')
end
if known and known ~= read and read ~= '' and known ~= ARGV[16] then return {'changed', known} end

local life = math.min(tonumber(ARGV[12]), 2 ^ 40 - 1) -- what fits into a record
local expiry = now + math.min(tonumber(ARGV[11]), life)
if not in_time(ARGV[17], ARGV[18], expiry, now) then return {'clock'} end

if redis.call('HLEN', index) >= most then
  local sessions, expired = all_living()
  for _, session in ipairs(sessions) do
    if not is_known(session[2]) then return redis.error_reply(UNKNOWN_RECORD) end
    session.opened = select(3, struct.unpack(HEADER, session[2]))
  end
  forget(expired)
  table.sort(sessions, function(a, b) return a.opened < b.opened end)
  for i = 1, #sessions - most + 1 do
    finish(sessions[i][1], sessions[i][3])
    emit('session.revoked', hex(sessions[i][1]), 'reason', 'limit')
  end
end

local record = struct.pack(HEADER, tonumber(ARGV[8]), 0, now, 0, life) .. ARGV[9] .. ARGV[10]
keep(sid, ARGV[7], record, expiry)
-- '?' announces a change that is under way (twofactor/prelude.lua); it is not ours to call off.
-- None is '0', as after a signup: most users never have another, and it would cost them memory.
if (not known and read ~= '' and read ~= '0')
  or (known and read ~= '' and known ~= read and known:sub(1, 1) ~= '?') then
  redis.call('HSET', index, VERSION_FIELD, read)
end
emit(ARGV[14], ARGV[6])
return {'opened', record, expiry}
