-- Note that an operator has changed an account, and let the pods know if its row has changed.
--
-- arguments   event · reason · by · row_version, '' if the row is as it was · made: '0' where the
--             change had been made before, which is noted only if the pods did not know yet

local news = false
if row_version ~= '' then
  version_state() -- that it can be read, before anything is written
  news = publish(row_version)
end
if made == '1' or news then emit(event, 'reason', reason, 'by', by) end
