-- Begin an enrolment; the one before it, if any, is gone.
--
-- KEYS[3] pending2fa:{b}:<uid>
-- ARGV[5] enrolment id    ARGV[6] sealed secrets    ARGV[7] life, ms
-- Outcome: when it expires, ms since 1970

pending_of(KEYS[3]) -- one of an unknown version is not ours to replace
local pending = ARGV[5] .. struct.pack('>BI8', 0, 0) .. ARGV[6]
redis.call('SET', KEYS[3], pending, 'PX', ARGV[7])
emit('twoFA.enrollmentStarted')
return redis.call('PEXPIRETIME', KEYS[3])
