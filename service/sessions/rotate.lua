-- Exchange a refresh token for its successor, once.
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
--   {'rotated', record, expires at}             the successor is valid from now on
--   {'handoff', record, expires at, sealed}     spent a moment ago: here is the one successor
--   {'reused', number}                          spent, and too late: theft, the session has ended, by
--                                               this entry of the feed
--   {'limited', ms}                             too often in a minute; nothing has changed
--   {'ended'}                                   no such session any more
--   {'clock'}                                   as in open.lua
--   {'target'}                                  it is not known; nothing has changed
--   {'changing'}                                the user row is: ask the user store whether the
--                                               session counts, and be sure; nothing has changed
--
-- A handoff is kept per session, so spending the successor overwrites its predecessor's. A generation
-- above the stored one means that Redis has lost writes; it falls under 'reused' and ends the session.
--
-- A handoff to another network or user agent than that of the rotation is noted in the record, once a
-- rotation. Whoever steals a spent token follows by such handoffs: the third rotation in a row that
-- had one is answered as theft is.

local handoff_key = HANDOFF .. tag .. session_id
local record, key, noted = living(session_id)
if not record then return {'ended'} end
local generation, opened, used, life, proof, last_proof, row, flags, its_device =
  unpack_record(record)
if not generation then unknown('the session record') end
if noted and sure ~= 1 and noted:byte(1) == CHANGING_BYTE then return {'changing'} end
local now = now_ms()
local has_no_target = target ~= 1 and flags % 4 >= 2 -- FLAG_AUDIENCE of record.py

-- What the person has proved is added to what they had; the other bits of `proof` stay.
local function prove()
  proof, last_proof = bit.bor(proof, proved), math.max(now - opened, 0)
  emit('session.reauthenticated', 'session', session_hex)
end

if key ~= SESSION .. tag .. presented then
  local function theft()
    local number = finish(session_id, key)
    emit('session.reuseDetected', 'session', session_hex, 'generation', presented_generation,
      'current', generation)
    return {'reused', number}
  end

  local handoff = redis.call('GET', handoff_key)
  if handoff and (#handoff ~= HANDOFF_BYTES or
    (handoff:sub(1, #presented) ~= presented and presented_generation == generation - 1)) then
    -- Only the immediate predecessor's handoff can be here; if this is not it, it is no handoff.
    unknown('the handoff')
  end
  if not handoff or handoff:sub(1, #presented) ~= presented then return theft() end
  local expiry = redis.call('PEXPIRETIME', key)
  if not in_time(clock, valid_until, expiry, now) then return {'clock'} end
  if has_no_target then return {'target'} end
  local bits = generation_bits(generation)
  local elsewhere = is_elsewhere(its_device, device) and noted_bits(proof) ~= bits
  if elsewhere then
    local in_a_row = 1
    if noted_bits(proof) == generation_bits(generation - 1) then in_a_row = run_of(proof) + 1 end
    emit('session.handoffElsewhere', 'session', session_hex, 'generation', generation,
      'inARow', in_a_row)
    if in_a_row >= MOST_IN_A_ROW then return theft() end
    proof = proof % 8 + in_a_row * 8 + bits * 32
  end
  if proved ~= '' then prove() end
  if elsewhere or proved ~= '' then
    record = pack_record(generation, opened, used, life, proof, last_proof, row, flags, its_device)
    redis.call('SET', key, record, 'KEEPTTL')
  end
  return {'handoff', record, expiry, handoff:sub(#presented + 1)}
end

if has_no_target then return {'target'} end
local wait = count_rotation(session_id, opened + used, generation, now)
if wait then return {'limited', wait} end
local expiry = math.min(now + idle_life, opened + life)
if not in_time(clock, valid_until, expiry, now) then return {'clock'} end
-- What was noted of handoffs counts for the next rotation, and for none after it.
if noted_bits(proof) ~= generation_bits(generation) then proof = proof % 8 end
if proved ~= '' then prove() end
used = math.max(now - opened, 0) -- Redis' clock may have been put back
local successor =
  pack_record(generation + 1, opened, used, life, proof, last_proof, row, flags, device)
keep(session_id, next_digest, successor, expiry)
redis.call('DEL', key)
redis.call('SET', handoff_key, presented .. sealed, 'PX', grace)
emit('session.rotated', 'session', session_hex)
return {'rotated', successor, expiry}
