-- Before post.lua: how often one may be written to.

-- Whether an account has had as many mails of a purpose as it may have, by the list of when those were
-- (µs); otherwise this one is counted. The list holds a day's, and lives as long.
local function is_suppressed(sent)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local oldest = redis.call('LINDEX', sent, 0)
  while oldest and tonumber(oldest) <= now - DAY * 1000 do
    redis.call('LPOP', sent)
    oldest = redis.call('LINDEX', sent, 0)
  end
  local of_day = redis.call('LINDEX', sent, -tonumber(most_a_day))
  local of_hour = redis.call('LINDEX', sent, -tonumber(most_an_hour))
  if of_day or (of_hour and tonumber(of_hour) > now - HOUR * 1000) then return true end
  redis.call('RPUSH', sent, string.format('%.0f', now))
  redis.call('PEXPIRE', sent, DAY)
  return false
end
