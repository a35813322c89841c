-- Tell whether a session of the user lives in the network of a client.
--
-- key index    arguments tag · packed, the origin of a client (origin.py)
-- Outcome: 1 or 0. Of a record of an unknown version nothing is known, so it is none.
-- Who tries passwords can have it asked as often as they like: so it reads many records in one call.

local here, keys = network(packed), {}
local entries, before = redis.call('HGETALL', index), redis.call('GET', BEFORE .. tag:sub(1, 4))
for i = 2, #entries, 2 do keys[i / 2] = SESSION .. tag .. entries[i] end -- no session: no record
for first = 1, #keys, AT_ONCE do
  local some = redis.call('MGET', unpack(keys, first, math.min(first + AT_ONCE - 1, #keys)))
  for _, record in ipairs(some) do
    local client = record and not is_over(record, before) and select(9, unpack_record(record))
    if client and network(client) == here then return 1 end
  end
end
return 0
