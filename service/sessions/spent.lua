-- After feed.lua, finish.lua and rotate_otherwise.lua: a token was presented that is spent.
--
-- A handoff to another network or user agent than that of the rotation is noted in the record, once a
-- rotation. Whoever steals a spent token follows by such handoffs: the third rotation in a row that
-- had one is answered as theft is.

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
if proved ~= '' then proof, last_proof = prove() end
if elsewhere or proved ~= '' then
  record = pack_record(generation, opened, used, life, proof, last_proof, row, flags, its_device)
  redis.call('SET', key, record, 'KEEPTTL')
end
return {'handoff', record, expiry, handoff:sub(#presented + 1)}
