-- After prelude.lua, before the scripts that may end a session.
--
-- KEYS[3] revoked:{b}, the feed        KEYS[4] revocations:{b}, how many entries it has had
-- The last of ARGV: how long an entry matters, ms

-- End a session: nothing of it stays, so no token of its family can do anything any more, and the
-- guards hear of it. Each entry has the next number, so that they notice whatever they have missed.
local function finish(sid, key)
  redis.call('HDEL', index, sid)
  redis.call('DEL', key, HANDOFF .. tag .. sid)
  local number = redis.call('INCR', KEYS[4])
  redis.call('XADD', KEYS[3], '*', 'n', number, 's', sid)
  if number % 64 == 0 then -- often enough, and cheap
    -- Of those that matter no more the newest stays: by it a reader sees that none after it is gone.
    local newest = redis.call('XREVRANGE', KEYS[3], now_ms() - ARGV[#ARGV], '-', 'COUNT', 1)[1]
    if newest then redis.call('XTRIM', KEYS[3], 'MINID', newest[1]) end
  end
end
