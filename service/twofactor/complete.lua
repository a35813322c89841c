-- The user row says that 2FA is on: consume the pending enrolment.
--
-- KEYS[3] pending2fa:{b}:<uid>
-- ARGV[5] enrolment id    ARGV[6] version of the user row

local pending = redis.call('GET', KEYS[3])
local ours = pending and #pending == PENDING_BYTES and pending:sub(1, 16) == ARGV[5]
if ours then redis.call('DEL', KEYS[3]) end
-- Told once: by whoever consumes it or, if another enable has replaced it, publishes first.
if publish(ARGV[6]) or ours then emit('twoFA.enabled') end
