-- List the sessions of the caller, whose own is `caller`.
--
-- Outcome: {{session id, record, expires at in ms}, …}, or nil when the caller's own has ended

if not living(caller) then return nil end
local ids, records, keys = all_living()
local rows = {}
for i = 1, #ids do rows[i] = {ids[i], records[i], redis.call('PEXPIRETIME', keys[i])} end
return rows
