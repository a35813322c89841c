-- After prelude.lua, before the scripts that may end a session.
--
-- keys        revoked, the feed of the bucket · revocations, how many entries it has had
-- argument    feed_life: how long an entry matters, ms

-- End a session: nothing of it stays, so no token of its family can do anything any more, and the
-- guards hear of it. Each entry has the next number, so that they notice whatever they have missed.
local function finish(sid, key)
  redis.call('HDEL', index, sid)
  redis.call('DEL', key, HANDOFF .. tag .. sid)
  local number = redis.call('INCR', revocations)
  redis.call('XADD', revoked, '*', 'n', number, 's', sid)
  if number % 64 == 0 then -- often enough, and cheap
    -- Of those that matter no more the newest stays: by it a reader sees that none after it is gone.
    local newest = redis.call('XREVRANGE', revoked, now_ms() - feed_life, '-', 'COUNT', 1)[1]
    if newest then redis.call('XTRIM', revoked, 'MINID', newest[1]) end
  end
end
