-- End one session of a user.
--
-- arguments   session_id · reason · by
-- Outcome: the number of its entry in the feed, or 0: there is no such session, or not any more

local digest = redis.call('HGET', index, session_id)
if not digest then return 0 end
local number = finish(session_id, SESSION .. tag .. digest)
emit('session.revoked', 'session', hex(session_id), 'reason', reason, 'by', by)
return number
