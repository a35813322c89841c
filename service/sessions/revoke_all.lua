-- End all of the caller's sessions, or all but the caller's own.
--
-- KEYS[3], KEYS[4] and the last of ARGV as in feed.lua
-- ARGV[7] session id of the caller    ARGV[8] '1' to keep the caller's own
-- Outcome: how many have ended, or -1 when the caller's own had ended before

local caller = ARGV[7]
if not living(caller) then return -1 end
local ended, sessions, expired = 0, all_living()
forget(expired)
for _, session in ipairs(sessions) do
  if not (ARGV[8] == '1' and session[1] == caller) then
    finish(session[1], session[3])
    emit('session.revoked', session[1], 'reason', 'all', 'by', hex(caller))
    ended = ended + 1
  end
end
return ended
