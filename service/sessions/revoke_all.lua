-- End all of the caller's sessions, or all but the caller's own; before cut_off.lua, which does it.
--
-- arguments as in caller.lua, and keep_own: 1 to keep the caller's own
-- Outcome: as there, {-1, 0} when the caller's own had ended before; {ms} to wait when it
-- was called too often

if not is_authenticated() then return {-1, 0} end
local wait = count_call('logout-all:' .. user, now_ms())
if wait then return {wait} end
local kept, least, version, what = keep_own == 1 and caller or '', '', '', 'user.sessionsEnded'
local fields = {'reason', 'all', 'by', hex(caller)}
