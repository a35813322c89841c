-- End all of the caller's sessions, or all but the caller's own.
--
-- arguments as in caller.lua, and keep_own: 1 to keep the caller's own
-- Outcome: as of end_all.lua, {-1, 0} when the caller's own had ended before; {ms} to wait when it
-- was called too often

if not is_authenticated() then return {-1, 0} end
local wait = count_call('logout-all:' .. user, now_ms())
if wait then return {wait} end
local kept = keep_own == 1 and caller or ''
return {cut_off(kept, '', '', 'user.sessionsEnded', 'reason', 'all', 'by', hex(caller))}
