-- The user row says that 2FA is on: consume the pending enrolment.
--
-- key pending_key, of the user    arguments enrolment_id · row_version, '' if it is published already

local pending = redis.call('GET', pending_key)
local ours = pending and #pending == PENDING_BYTES and pending:sub(1, 16) == enrolment_id
if ours then redis.call('DEL', pending_key) end
-- Told once: by whoever consumes it or, if another enable has replaced it, publishes first.
local is_news = row_version ~= '' and publish(row_version)
if is_news or ours then emit('twoFA.enabled') end
