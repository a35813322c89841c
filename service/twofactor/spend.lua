-- Spend a code outside enrolment and login, as the leave to change the second factor.
--
-- key watermark_key, of the enrolment
-- argument code_step: the step whose code it is, '' for a recovery code, which the user store burns
-- Outcome: 1 the change may go on, 0 the code was used before

check_clock()
version_state() -- that it can be read, before anything is written
if code_step ~= '' and not accept_step(watermark_key, code_step) then return 0 end
announce_change()
return 1
