-- The user row has changed: let the pods know, and note why.
--
-- arguments   row_version, '' while it goes on changing · event

version_state() -- that it can be read, before anything is written
if event == 'twoFA.disabled' then forget_second_factor() end
emit(event)
if row_version ~= '' then publish(row_version) end
