-- Judge the code that confirms an enrolment; count it if it is wrong.
--
-- keys        pending_key, of the user · watermark_key, of the enrolment
-- arguments   enrolment_id · code_step: the step whose code it is, '' if of none
-- Outcomes: 'accepted' · 'wrong' · 'gone', another enrolment or none is pending
-- The code that confirmed may be presented again while the enrolment is pending: a retry after a
-- crash ends in the same state. Anywhere else the watermark refuses it.

local pending = pending_of(pending_key)
if not pending or pending:sub(1, 16) ~= enrolment_id then return 'gone' end
local tries, confirmed = struct.unpack('>BI8', pending, 17)
check_clock()
version_state() -- that it can be read, before anything is written
local step, sealed = tonumber(code_step), pending:sub(26)

if step and (step == confirmed or accept_step(watermark_key, step)) then
  -- Of a factor before this one. By this one nobody can have logged in before it was first confirmed.
  if confirmed == 0 then forget_second_factor() end
  redis.call('SET', pending_key, enrolment_id .. struct.pack('>BI8', tries, step) .. sealed, 'KEEPTTL')
  announce_change()
  return 'accepted'
end

if tries + 1 >= MOST_WRONG_TRIES then
  redis.call('DEL', pending_key)
else
  local counted = enrolment_id .. struct.pack('>BI8', tries + 1, confirmed) .. sealed
  redis.call('SET', pending_key, counted, 'KEEPTTL')
end
return 'wrong'
