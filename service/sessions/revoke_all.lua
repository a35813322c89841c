-- End all of the caller's sessions, or all but the caller's own.
--
-- arguments as in caller.lua, and keep_own: '1' to keep the caller's own
-- Outcome: how many have ended, or -1 when the caller's own had ended before; {ms} to
-- wait when it was called too often

if not is_authenticated() then return -1 end
local wait = count_call('logout-all:' .. user, now_ms())
if wait then return {wait} end
local ended, by, sessions, expired = 0, hex(caller), all_living()
forget(expired)
for _, session in ipairs(sessions) do
  if not (keep_own == '1' and session[1] == caller) then
    finish(session[1], session[3])
    emit('session.revoked', 'session', hex(session[1]), 'reason', 'all', 'by', by)
    ended = ended + 1
  end
end
return ended
