-- Count an attempt under all of its limits, or under none.
--
-- lists, limits: as in waits.lua. Of an account, the first limit is that of a network.
-- Outcome: {'counted', ticket} · {'wait', ms of each limit}

local each, longest_wait = waits()
if longest_wait > 0 then return {'wait', each} end

local ticket = string.format('%.0f', now)
for i = 1, #limits / 4 do
  local key, life = lists[i], limits[4 * i]
  local most, window, longest = limit(i)
  local length = redis.call('RPUSH', key, ticket)
  -- Of those in a row, as many as tell how long one waits.
  if longest > 0 and length > most + 1 and window * 2 ^ (length - most - 1) >= longest then
    redis.call('LPOP', key)
  end
  redis.call('PEXPIRE', key, life)
  if noted and i == 1 and length >= most then
    redis.call('HSET', noted, key, ticket)
    redis.call('PEXPIRE', noted, life)
    local fields = redis.call('HLEN', noted) > MOST_NOTED and redis.call('HGETALL', noted) or {}
    for field = 1, #fields, 2 do
      if tonumber(fields[field + 1]) <= now - window then
        redis.call('HDEL', noted, fields[field])
      end
    end
  end
end
return {'counted', ticket}
