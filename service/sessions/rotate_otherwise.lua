-- After living.lua, rate_limit.lua and handoffs.lua: what rotate.lua has left, as if that had done nothing.

local handoff_key = HANDOFF .. tag .. session_id
local record, key, noted = living(session_id)
if not record then return {'ended'} end
local generation, opened, used, life, proof, last_proof, row, flags, its_device =
  unpack_record(record)
if not generation then unknown('the session record') end
if row < 0 then return {'older'} end
if noted and sure ~= 1 and noted:byte(1) == CHANGING_BYTE then return {'changing'} end
local now = now_ms()
local has_no_target = target ~= 1 and flags % 4 >= 2 -- FLAG_AUDIENCE of record.py

-- What the person has proved is added to what they had; the other bits of `proof` stay.
local function prove()
  emit('session.reauthenticated', 'session', session_hex)
  return bit.bor(proof, proved), math.max(now - opened, 0)
end

if key == SESSION .. tag .. presented then
  if has_no_target then return {'target'} end
  -- As long as a session rotates less often than once in the window, which it does but for a flood, its
  -- record tells when it was last, and nothing is written.
  local last = opened + used
  local wait = now - last < CALLS_WINDOW
    and count_call('refresh:' .. session_id, now, generation > 0 and last or nil)
  if wait then return {'limited', wait} end
  local expiry = math.min(now + idle_life, opened + life)
  if not in_time(clock, valid_until, expiry, now) then return {'clock'} end
  -- What was noted of handoffs (handoffs.lua) counts for the next rotation, and for none after it.
  if noted_bits(proof) ~= generation_bits(generation) then proof = proof % 8 end
  if proved ~= '' then proof, last_proof = prove() end
  used = math.max(now - opened, 0) -- Redis' clock may have been put back
  local successor =
    pack_record(generation + 1, opened, used, life, proof, last_proof, row, flags, device)
  keep(session_id, next_digest, successor, expiry, idle_life)
  redis.call('DEL', key)
  redis.call('SET', handoff_key, presented .. sealed, 'PX', grace)
  emit('session.rotated', 'session', session_hex)
  return struct.pack('>I6', expiry) .. successor
end
