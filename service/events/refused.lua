-- Tell of a try that was refused, if it was at an account that there is.
--
-- arguments   event · door · known: '0' where nobody knows of whom, so that the time does not tell
--             who has an account · detail, value: one more field, or ''

if known == '1' then
  if detail == '' then emit(event, 'door', door)
  else emit(event, 'door', door, detail, value) end
end
