-- Tell whether a session of the user lives in the network of a client.
--
-- key index    arguments tag · packed, the origin of a client (origin.py)
-- Outcome: 1 or 0. Of a record of an unknown version nothing is known, so it is none.

local here = network(packed)
for _, session in ipairs((all_living())) do
  local device_there = select(9, unpack_record(session[2]))
  if device_there and network(device_there) == here then return 1 end
end
return 0
