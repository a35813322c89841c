-- After living.lua, pending.lua and waits.lua: what begin.lua has left, as if that had done nothing.

if caller ~= '' then
  local record, _, row_noted = living(caller)
  if not record then return {'ended'} end
  local row = select(7, unpack_record(record))
  if not row then unknown('the session record') end
  if row_noted and row_noted:byte(1) ~= CHANGING_BYTE and not row_noted:match(SETTLED) then
    unknown('the version of the user row')
  end
  if row < since then return {'ended'} end
end
pending_of(pending_key) -- one of an unknown version is not ours to replace
if calls_most ~= 0 then
  local _, wait = waits()
  if wait > 0 then return {'wait', wait} end
  redis.call('RPUSH', calls_key, string.format('%.0f', now))
  redis.call('PEXPIRE', calls_key, calls_life)
end
redis.call('SET', pending_key, enrolment_id .. struct.pack('>BI8', 0, 0) .. sealed, 'PX', pending_life)
emit('twoFA.enrollmentStarted')
return redis.call('PEXPIRETIME', pending_key)
