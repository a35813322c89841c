-- Use a ticket up. Of those who race for it, one does.
--
-- key ticket_key, of the purpose and user    arguments digest, of the token · life, ms
-- Outcome: its record and when it was issued, ms since 1970, or nil: there is none, it has expired or
-- was used or may have been, or another has replaced it

local record = redis.call('GET', ticket_key)
if not record then return nil end
if record:byte(1) ~= TICKET_VERSION or #record < TICKET_BYTES then unknown('the ticket') end
if record:sub(2, 17) ~= digest then return nil end
local issued = redis.call('PEXPIRETIME', ticket_key) - life
if is_of_before(ticket_key, issued) then return nil end
redis.call('DEL', ticket_key)
return {record, issued}
