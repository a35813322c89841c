-- Exchange a refresh token for its successor, once.
--
-- What a refresh nearly always is stands here, without a function: to make the dozen that the rest needs
-- takes a tenth of what Redis takes for the call. All that is unusual goes on in rotate_otherwise.lua and
-- spent.lua, and nothing is written before that.
--
-- keys and arguments as in prelude.lua and feed.lua
-- session_id, session_hex: raw and in hex
-- presented, presented_generation: digest and generation of the presented token
-- next_digest: of the successor's    sealed: the successor, sealed under the presented token
-- device    idle_life, grace: ms    clock, valid_until: as in open.lua
-- proved: bits of authentication (record.py) that the person has proved just now; '' at a refresh
-- target: 1 where it is known whom the access token is for, if the session has an audience
-- sure: 1 of a caller who has asked the user store
-- Outcomes:
--   expires at in 6 bytes, and the record       the successor is valid from now on
--   {'handoff', record, expires at, sealed}     spent a moment ago: here is the one successor
--   {'reused', number}                          spent, and too late: theft, the session has ended, by
--                                               this entry of the feed
--   {'limited', ms}                             too often in a minute; nothing has changed
--   {'ended'}                                   no such session any more
--   {'older'}                                   it counts no more (record.py); nothing has changed
--   {'clock'}                                   as in open.lua
--   {'target'}                                  it is not known; nothing has changed
--   {'changing'}                                the user row is: ask the user store whether the
--                                               session counts, and be sure; nothing has changed
--
-- A handoff is kept per session, so spending the successor overwrites its predecessor's. A generation
-- above the stored one means that Redis has lost writes; it falls under 'reused' and ends the session.

local call = redis.call
local found = call('HMGET', index, session_id, VERSION_FIELD)
local noted = found[2]
if found[1] == presented and proved == ''
  and (sure == 1 or not noted or noted:byte(1) ~= CHANGING_BYTE) then
  local key = SESSION .. tag .. presented
  local stored = call('MGET', key, BEFORE .. tag:sub(1, 4))
  local record, before = stored[1], stored[2]
  local start = record and record:byte(1) == 2 and FULL_DEVICE or PLAIN_DEVICE -- of the device
  local length = record and record:byte(start)
  if (length == 0 or length == 4 or length == 16) and #record >= start + length then
    local layout, generation, opened, used, life, proof = struct.unpack(PLAIN, record)
    local row, flags = 0, 0 -- the highest byte of the version of the row
    if layout == 2 then
      row, flags = record:byte(28), record:byte(35)
      if record:byte(23) * 2 ^ 32 > life then row = 32 end -- as in `device_in` of records.lua
    end
    local time = call('TIME')
    local now = time[1] * 1000 + time[2] / 1000
    now = now - now % 1
    local expiry = opened + life
    if now + idle_life < expiry then expiry = now + idle_life end
    if layout <= 2 and layout >= 1 and row < 32 and proof < 8 and (target == 1 or flags % 4 < 2)
      and not (before and opened <= tonumber(before))
      and (CALLS_MOST == 0 or now - opened - used >= CALLS_WINDOW)
      and clock - now < CLOCK_SKEW and now - clock < CLOCK_SKEW -- as in_time of records.lua
      and expiry > clock and valid_until > now then
      used = now - opened
      if used < 0 then used = 0 end -- Redis' clock may have been put back
      record = struct.pack('>BI4I6I5', layout, generation + 1, opened, used)
        .. record:sub(17, start - 1) .. device
      call('SET', SESSION .. tag .. next_digest, record, 'PXAT', expiry)
      call('HSET', index, session_id, next_digest)
      if call('PEXPIRETIME', index) < expiry then -- as in `keep` of records.lua
        call('PEXPIREAT', index, expiry + math.floor(idle_life / 128))
      end
      call('DEL', key)
      call('SET', HANDOFF .. tag .. session_id, presented .. sealed, 'PX', grace)
      local id = call('XADD', events, '*', 'type', 'session.rotated', 'user', user, 'ip', ip,
        'request', request, 'session', session_hex)
      if (EVENTS_MAX < 1000 or id:find('0-', 1, true) or id:sub(-2) == '00') -- as in `emit` of prelude.lua
        and call('XLEN', events) > EVENTS_MAX then make_room(events) end
      return struct.pack('>I6', expiry) .. record
    end
  end
end
