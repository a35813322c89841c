-- Exchange a refresh token for its successor, once.
--
-- keys and arguments as in prelude.lua and feed.lua
-- session_id, session_hex: raw and in hex
-- presented, presented_generation: digest and generation of the presented token
-- next_digest: of the successor's    sealed: the successor, sealed under the presented token
-- device    idle_life, grace: ms    clock, valid_until: as in open.lua
-- Outcomes:
--   {'rotated', record, expires at}             the successor is valid from now on
--   {'handoff', record, expires at, sealed}     spent a moment ago: here is the one successor
--   {'reused'}                                  spent, and too late: theft, the session has ended
--   {'limited', ms}                            too often in a minute; nothing has changed
--   {'ended'}                                   no such session any more
--   {'clock'}                                   as in open.lua
--
-- A handoff is kept per session, so spending the successor overwrites its predecessor's. A generation
-- above the stored one means that Redis has lost writes; it falls under 'reused' and ends the session.
--
-- A handoff to another network or user agent than that of the rotation is noted in the record, once a
-- rotation. Whoever steals a spent token follows by such handoffs: the third rotation in a row that
-- had one is answered as theft is.

local handoff_key = HANDOFF .. tag .. session_id
local record, key = living(session_id)
if not record then return {'ended'} end
if not is_known(record) then unknown('the session record') end
local version, generation, opened, _, life = struct.unpack(HEADER, record)
local now, proof = now_ms(), record:byte(HEADER_BYTES + 1)

local function theft()
  finish(session_id, key)
  emit('session.reuseDetected', 'session', session_hex, 'generation', presented_generation,
    'current', generation)
  return {'reused'}
end

if key ~= SESSION .. tag .. presented then
  local handoff = redis.call('GET', handoff_key)
  if handoff and (#handoff ~= HANDOFF_BYTES or
    (handoff:sub(1, #presented) ~= presented and tonumber(presented_generation) == generation - 1)) then
    -- Only the immediate predecessor's handoff can be here; if this is not it, it is no handoff.
    unknown('the handoff')
  end
  if not handoff or handoff:sub(1, #presented) ~= presented then return theft() end
  local expiry = redis.call('PEXPIRETIME', key)
  if not in_time(clock, valid_until, expiry, now) then return {'clock'} end
  local bits = generation_bits(generation)
  if is_elsewhere(record:sub(HEADER_BYTES + 2), device) and noted_bits(proof) ~= bits then
    local in_a_row = 1
    if noted_bits(proof) == generation_bits(generation - 1) then in_a_row = run_of(proof) + 1 end
    emit('session.handoffElsewhere', 'session', session_hex, 'generation', generation,
      'inARow', in_a_row)
    if in_a_row >= MOST_IN_A_ROW then return theft() end
    record = record:sub(1, HEADER_BYTES) .. string.char(proof % 8 + in_a_row * 8 + bits * 32)
      .. record:sub(HEADER_BYTES + 2)
    redis.call('SET', key, record, 'KEEPTTL')
  end
  return {'handoff', record, expiry, handoff:sub(#presented + 1)}
end

local wait = count_rotation(session_id, record, opened, generation, now)
if wait then return {'limited', wait} end
local expiry = math.min(now + tonumber(idle_life), opened + life)
if not in_time(clock, valid_until, expiry, now) then return {'clock'} end
-- What was noted of handoffs counts for the next rotation, and for none after it.
if noted_bits(proof) ~= generation_bits(generation) then proof = proof % 8 end
local used = math.max(now - opened, 0) -- Redis' clock may have been put back
local successor = struct.pack(HEADER, version, generation + 1, opened, used, life)
  .. string.char(proof) .. device
keep(session_id, next_digest, successor, expiry)
redis.call('DEL', key)
redis.call('SET', handoff_key, presented .. sealed, 'PX', grace)
emit('session.rotated', 'session', session_hex)
return {'rotated', successor, expiry}
