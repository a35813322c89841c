-- End all sessions of a user who is not there any more.
--
-- KEYS[3], KEYS[4] and the last of ARGV as in feed.lua

local sessions, expired = all_living()
forget(expired)
for _, session in ipairs(sessions) do
  finish(session[1], session[3])
  emit('session.revoked', hex(session[1]), 'reason', 'userGone')
end
