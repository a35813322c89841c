-- After living.lua, before the scripts that a caller asks for.
--
-- caller: id of the caller's own session
-- since: version of the user row from which on sessions count

-- Whether the caller's own session lives, and was opened by a row that counts.
local function is_authenticated()
  local record = living(caller)
  if not record then return false end
  if since == 0 then return true end
  local row = select(7, unpack_record(record))
  if not row then unknown('the session record') end
  return row >= since
end
