-- End one of the caller's sessions.
--
-- KEYS[3], KEYS[4] and the last of ARGV as in feed.lua
-- ARGV[7] session id of the caller    ARGV[8] session id to end
-- Outcome: 'revoked' · 'unknown', no such session · 'unauthenticated', the caller's own has ended

if not living(ARGV[7]) then return 'unauthenticated' end
local record, key = living(ARGV[8])
if not record then return 'unknown' end
finish(ARGV[8], key)
emit('session.revoked', ARGV[8], 'reason', 'user', 'by', hex(ARGV[7]))
return 'revoked'
