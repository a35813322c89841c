-- Note that a session, open or about to be opened, is one of a provider's. Of those that were noted
-- before, whose time is over go, and of too many the oldest.
--
-- key provider_sessions     arguments member · now, life: ms · most

local entries = redis.call('HGETALL', provider_sessions)
local kept = {}
for i = 1, #entries, 2 do
  if tonumber(entries[i + 1]) + life < tonumber(now) then
    redis.call('HDEL', provider_sessions, entries[i])
  else
    kept[#kept + 1] = {entries[i], tonumber(entries[i + 1])}
  end
end
if #kept >= tonumber(most) then
  table.sort(kept, function(a, b) return a[2] < b[2] end)
  for i = 1, #kept - most + 1 do redis.call('HDEL', provider_sessions, kept[i][1]) end
end
redis.call('HSET', provider_sessions, member, now)
redis.call('PEXPIRE', provider_sessions, life)
