-- The user row says that 2FA is on: consume the pending enrolment.
--
-- key pending_key, of the user    arguments enrolment_id · row_version

local pending = redis.call('GET', pending_key)
local ours = pending and #pending == PENDING_BYTES and pending:sub(1, 16) == enrolment_id
if ours then redis.call('DEL', pending_key) end
-- Told once: by whoever consumes it or, if another enable has replaced it, publishes first.
if publish(row_version) or ours then emit('twoFA.enabled') end
