-- Begin an enrolment; the one before it, if any, is gone.
--
-- key pending_key, of the user    arguments enrolment_id · sealed, the secrets · life, ms
-- Outcome: when it expires, ms since 1970

pending_of(pending_key) -- one of an unknown version is not ours to replace
redis.call('SET', pending_key, enrolment_id .. struct.pack('>BI8', 0, 0) .. sealed, 'PX', life)
emit('twoFA.enrollmentStarted')
return redis.call('PEXPIRETIME', pending_key)
