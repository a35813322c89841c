-- After feed.lua, before the scripts that may end a session.

-- End a session: nothing of it stays, so no token of its family can do anything any more.
-- Return the number of the entry in the feed.
local function finish(sid, key)
  redis.call('HDEL', index, sid)
  redis.call('DEL', key, HANDOFF .. tag .. sid)
  return tell_guards('s', sid)
end
