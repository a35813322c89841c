-- Use one of several tickets up, with all that were issued later, and those that have expired.
--
-- key tickets_key, a hash: digest → when it was issued (6 bytes, ms), and its record
-- arguments digest, of the token · life of each, ms
-- Outcome: its record and when it was issued, ms since 1970, or nil: there is none, it has expired or
-- was used, or may have been

local found = redis.call('HGET', tickets_key, digest)
if not found then return nil end
if found:byte(7) ~= TICKET_VERSION or #found < 6 + TICKET_BYTES then unknown('the ticket') end
local issued, oldest = struct.unpack('>I6', found), now_ms() - life
if issued <= oldest or is_of_before(tickets_key, issued) then return nil end
local entries = redis.call('HGETALL', tickets_key)
for i = 1, #entries, 2 do
  local at = struct.unpack('>I6', entries[i + 1])
  if at >= issued or at <= oldest then redis.call('HDEL', tickets_key, entries[i]) end
end
return {found:sub(7), issued}
