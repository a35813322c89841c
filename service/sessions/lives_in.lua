-- Tell whether a session of the user lives in the network of a client.
--
-- key index    arguments tag · packed, the origin of a client (origin.py)
-- Outcome: 1 or 0. Of a record of an unknown version nothing is known, so it is none.

local here = network(packed)
for _, session in ipairs((all_living())) do
  local record = session[2]
  if record:byte(1) == RECORD_VERSION and #record > PROOF + 1
    and network(record:sub(PROOF + 2)) == here then return 1 end
end
return 0
