-- Open a session. Past the limit, the oldest of the user's sessions go.
--
-- keys and arguments as in prelude.lua and feed.lua
-- session_id, session_hex: the new id, raw and in hex     token_digest: of its refresh token
-- authentication: 1 byte    proof_flags: of the record (record.py)    device    idle_life, absolute_life: ms
-- most: sessions that a user may have
-- event: user.signedUp or user.loggedIn
-- read: version of the user row that the caller has read; '' of one that nobody can have changed. The
-- session keeps it: whether it counts is told by that of the row from which on sessions do
-- noted: what was noted in the index before the caller has read that row, '' if not known
-- clock: the caller's, ms    valid_until: until when the access token would be valid, ms
-- Outcomes:
--   {'opened', record, expires at in ms}
--   {'changed', noted}   the row is not, or not for sure, the one that was read: read it again
--   {'clock'}     the caller's clock is a minute off Redis', or by it the session, or by Redis' the
--                 access token, is over already
-- Whoever has read the row after its version was noted knows better: a change is announced before it
-- is written, so a number that still stands is one that a restored user store does not have. Whether an
-- announced change was written by now, only the user store knows: such a caller asks it afterwards.

local now = now_ms()
local known, last_cut_off, meanwhile =
  unpack(redis.call('HMGET', index, VERSION_FIELD, CUT_OFF_FIELD, MEANWHILE_FIELD))
if known and not known:match(SETTLED) and not known:match(CHANGING) then
  unknown('the version of the user row')
end
if known and known ~= read and read ~= '' and known ~= noted then return {'changed', known} end

local life = math.min(absolute_life, 2 ^ 40 - 1) -- what fits into a record
local expiry = now + math.min(idle_life, life)
if not in_time(clock, valid_until, expiry, now) then return {'clock'} end

if redis.call('HLEN', index) >= most then
  local ids, records, keys, expired = all_living()
  local opened, places, oldest = {}, {}, 1
  for i = 1, #ids do
    if not device_in(records[i]) and not unpack_record(records[i]) then unknown('the session record') end
    opened[i], places[i] = struct.unpack('>I6', records[i], 6), i
    if opened[i] < opened[oldest] then oldest = i end
  end
  local surplus = #ids - most + 1
  if surplus > 1 then
    table.sort(places, function(a, b) return opened[a] < opened[b] end)
  else
    places[1] = oldest
  end
  forget(expired)
  for i = 1, surplus do
    local id = ids[places[i]]
    finish(id, keys[places[i]])
    emit('session.revoked', 'session', hex(id), 'reason', 'limit')
  end
end

-- Of a session and a cut-off in one millisecond each is on its side.
local before = redis.call('GET', BEFORE .. tag:sub(1, 4))
local opened = math.max(now, (last_cut_off or 0) + 1, (before or 0) + 1)
local row = tonumber(read) or 0
local record = pack_record(0, opened, 0, life, authentication:byte(), 0, row,
  proof_flags, device)
keep(session_id, token_digest, record, expiry, idle_life)
-- A change that is under way (row_version.py) is not ours to call off.
-- None is '0', as after a signup: most users never have another, and it would cost them memory.
if (not known and read ~= '' and read ~= '0')
  or (known and read ~= '' and known ~= read and known:match(SETTLED)) then
  redis.call('HSET', index, VERSION_FIELD, read)
end
if known and known:match(CHANGING) then
  meanwhile = ((meanwhile or '') .. session_id):sub(-SESSION_ID_BYTES * MOST_MEANWHILE)
  redis.call('HSET', index, MEANWHILE_FIELD, meanwhile)
end
emit(event, 'session', session_hex)
return {'opened', record, expiry}
