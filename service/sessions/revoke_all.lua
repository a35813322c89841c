-- End all of the caller's sessions, or all but the caller's own.
--
-- KEYS[3], KEYS[4] and the last of ARGV as in feed.lua
-- ARGV[5] session id of the caller    ARGV[6] '1' to keep the caller's own
-- Outcome: how many have ended, or -1 when the caller's own had ended before; {ms} to
-- wait when it was called too often

local caller = ARGV[5]
if not living(caller) then return -1 end
local wait = count_call('logout-all:' .. ARGV[2], now_ms())
if wait then return {wait} end
local ended, by, sessions, expired = 0, hex(caller), all_living()
forget(expired)
for _, session in ipairs(sessions) do
  if not (ARGV[6] == '1' and session[1] == caller) then
    finish(session[1], session[3])
    emit('session.revoked', hex(session[1]), 'reason', 'all', 'by', by)
    ended = ended + 1
  end
end
return ended
