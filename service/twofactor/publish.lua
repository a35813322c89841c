-- The user row has changed: let the pods know, and note why.
--
-- ARGV[5] version of the user row, '' while it goes on changing    ARGV[6] the event

version_state() -- that it can be read, before anything is written
if ARGV[6] == 'twoFA.disabled' then forget_second_factor() end
emit(ARGV[6])
if ARGV[5] ~= '' then publish(ARGV[5]) end
