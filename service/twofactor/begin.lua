-- Begin an enrolment; the one before it, if any, is gone.
--
-- key pending_key, of the user    arguments enrolment_id · sealed, the secrets · pending_life, ms
-- caller: id of the session that asks; '' where it has just been read    since: version of the user row
-- from which on sessions count
-- What it nearly always is stands here, without a function, as in sessions/rotate.lua: a session asks that
-- lives and counts, and none of its user's calls is counted. The rest is begin_otherwise.lua.
-- Outcomes:
--   expires at in ms  it has begun
--   {'ended'}         the caller's session has, or was opened by a row that counts no more
--   {'wait', ms}      too often of late; nothing has changed

local call = redis.call
local found = call('HMGET', index, caller, VERSION_FIELD)
local noted = found[2]
if found[1] and (not noted or noted:byte(1) == CHANGING_BYTE or noted:find(SETTLED)) then
  local stored =
    call('MGET', SESSION .. tag .. found[1], BEFORE .. tag:sub(1, 4), pending_key)
  local record, before, pending = stored[1], stored[2], stored[3]
  local layout, row = record and record:byte(1), 0
  local start = layout == 2 and FULL_DEVICE or PLAIN_DEVICE
  local length = record and record:byte(start)
  if layout == 2 and length then
    row = struct.unpack('>I7', record, 28)
    if record:byte(23) > record:byte(17) then row = -1 end -- as in `device_in` of records.lua
  end
  if (layout == 1 or layout == 2) and (length == 0 or length == 4 or length == 16)
    and #record >= start + length and row >= since and row < 2 ^ 53
    and not (before and struct.unpack('>I6', record, 6) <= tonumber(before))
    and (not pending or #pending == PENDING_BYTES)
    and (calls_most == 0 or call('EXISTS', calls_key) == 0) then
    local value = enrolment_id .. string.rep('\0', 9) .. sealed
    -- GET: an error where something else is there, for which MGET answers nothing.
    if pending then call('SET', pending_key, value, 'PX', pending_life)
    else call('SET', pending_key, value, 'PX', pending_life, 'GET') end
    if calls_most ~= 0 then
      local time = call('TIME')
      call('RPUSH', calls_key, string.format('%.0f', time[1] * 1000000 + time[2]))
      call('PEXPIRE', calls_key, calls_life)
    end
    local id = call('XADD', events, '*', 'type', 'twoFA.enrollmentStarted', 'user', user, 'ip', ip,
      'request', request)
    if (EVENTS_MAX < 1000 or id:find('0-', 1, true) or id:sub(-2) == '00') -- as in `emit` of prelude.lua
      and call('XLEN', events) > EVENTS_MAX then make_room(events) end
    return call('PEXPIRETIME', pending_key)
  end
end
