-- Use a TOTP code up as a proof of identity in a session. Nothing of the account changes.
--
-- key watermark_key, of the enrolment    argument code_step: the step whose code it is
-- Outcome: 1 the code counts, 0 it was used before

check_clock()
return accept_step(watermark_key, code_step) and 1 or 0
