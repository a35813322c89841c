-- End all sessions of a user who is not there any more.

local sessions, expired = all_living()
forget(expired)
for _, session in ipairs(sessions) do
  finish(session[1], session[3])
  emit('session.revoked', 'session', hex(session[1]), 'reason', 'userGone')
end
