-- End one session of a user.
--
-- arguments   session_id · reason · by
-- Outcome: 1, or 0: there is no such session, or not any more

local digest = redis.call('HGET', index, session_id)
if not digest then return 0 end
finish(session_id, SESSION .. tag .. digest)
emit('session.revoked', 'session', hex(session_id), 'reason', reason, 'by', by)
return 1
