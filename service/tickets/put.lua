-- Keep a ticket. The one before it of the same purpose and user, if any, is gone.
--
-- key ticket_key, of the purpose and user
-- arguments   record · life, ms · event, '' for none · reason and by, '' for none
-- Outcome: when it expires, ms since 1970

redis.call('SET', ticket_key, record, 'PX', life)
local fields = {}
if reason ~= '' then fields = {'reason', reason} end
if by ~= '' then fields[#fields + 1], fields[#fields + 2] = 'by', by end
if event ~= '' then emit(event, unpack(fields)) end
return redis.call('PEXPIRETIME', ticket_key)
