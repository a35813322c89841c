-- List the sessions of the caller, whose own is `caller`.
--
-- Outcome: {{session id, record, expires at in ms}, …}, or nil when the caller's own has ended

if not living(caller) then return nil end
local rows = {}
for i, session in ipairs((all_living())) do
  rows[i] = {session[1], session[2], redis.call('PEXPIRETIME', session[3])}
end
return rows
