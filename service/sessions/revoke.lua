-- End one of the caller's sessions.
--
-- arguments as in caller.lua, and session_id: of the one to end
-- Outcome: the number of its entry in the feed · 'unknown', no such session · 'unauthenticated', the caller's own has ended

if not is_authenticated() then return 'unauthenticated' end
local record, key = living(session_id)
if not record then return 'unknown' end
local number = finish(session_id, key)
emit('session.revoked', 'session', hex(session_id), 'reason', 'user', 'by', hex(caller))
return number
