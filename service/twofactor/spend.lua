-- Spend a code outside enrolment and login, as the leave to change the second factor.
--
-- KEYS[3] totp:{b}:<enrolment id>
-- ARGV[5] the step whose code it is, '' for a recovery code, which the user store burns
-- ARGV[6] life of the watermark, ms
-- Outcome: 1 the change may go on, 0 the code was used before

check_clock()
version_state() -- that it can be read, before anything is written
if ARGV[5] ~= '' and not accept_step(KEYS[3], ARGV[5], ARGV[6]) then return 0 end
announce_change()
return 1
