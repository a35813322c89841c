-- End one of the caller's sessions.
--
-- KEYS[3], KEYS[4] and the last of ARGV as in feed.lua
-- ARGV[5] session id of the caller    ARGV[6] session id to end
-- Outcome: 'revoked' · 'unknown', no such session · 'unauthenticated', the caller's own has ended

if not living(ARGV[5]) then return 'unauthenticated' end
local record, key = living(ARGV[6])
if not record then return 'unknown' end
finish(ARGV[6], key)
emit('session.revoked', hex(ARGV[6]), 'reason', 'user', 'by', hex(ARGV[5]))
return 'revoked'
