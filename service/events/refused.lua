-- Tell of a try that was refused, if it was at an account that there is.
--
-- arguments   event · door · known: '0' where nobody knows of whom, so that the time does not tell
--             who has an account · detail, value: one more field, or ''

-- It may fill half of the stream only: strangers can bring about refusals as often as limits let
-- them, and none of those may push a change out.
if known == '1' and redis.call('XLEN', events) < EVENTS_MAX / 2 then
  if detail == '' then emit(event, 'door', door)
  else emit(event, 'door', door, detail, value) end
end
