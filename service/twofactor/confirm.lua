-- Judge the code that confirms an enrolment; count it if it is wrong.
--
-- KEYS[3] pending2fa:{b}:<uid>    KEYS[4] totp:{b}:<enrolment id>
-- ARGV[5] enrolment id            ARGV[6] the step whose code it is, '' if of none
-- ARGV[7] life of the watermark, ms
-- Outcomes: 'accepted' · 'wrong' · 'gone', another enrolment or none is pending
-- The code that confirmed may be presented again while the enrolment is pending: a retry after a
-- crash ends in the same state. Anywhere else the watermark refuses it.

local pending = pending_of(KEYS[3])
if not pending or pending:sub(1, 16) ~= ARGV[5] then return 'gone' end
local tries, confirmed = struct.unpack('>BI8', pending, 17)
check_clock()
version_state() -- that it can be read, before anything is written
local step, sealed = tonumber(ARGV[6]), pending:sub(26)

if step and (step == confirmed or accept_step(KEYS[4], step, ARGV[7])) then
  -- Of a factor before this one. By this one nobody can have logged in before it was first confirmed.
  if confirmed == 0 then forget_second_factor() end
  redis.call('SET', KEYS[3], ARGV[5] .. struct.pack('>BI8', tries, step) .. sealed, 'KEEPTTL')
  announce_change()
  return 'accepted'
end

if tries + 1 >= MOST_WRONG_TRIES then
  redis.call('DEL', KEYS[3])
else
  local counted = ARGV[5] .. struct.pack('>BI8', tries + 1, confirmed) .. sealed
  redis.call('SET', KEYS[3], counted, 'KEEPTTL')
end
return 'wrong'
