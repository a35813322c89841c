-- Exchange a refresh token for its successor, once.
--
-- KEYS[3], KEYS[4] and the last of ARGV as in feed.lua
-- ARGV[5] session id                    ARGV[6] the same in hex
-- ARGV[7] digest of the presented token ARGV[8] digest of the successor
-- ARGV[9] successor, sealed under the presented token
-- ARGV[10] device                       ARGV[11] idle life, ms
-- ARGV[12] grace, ms                    ARGV[13] generation of the presented token
-- Outcomes:
--   {'rotated', record, expires at}             the successor is valid from now on
--   {'handoff', record, expires at, sealed}     spent a moment ago: here is the one successor
--   {'reused'}                                  spent, and too late: theft, the session has ended
--   {'limited', ms}                            too often in a minute; nothing has changed
--   {'ended'}                                   no such session any more
--   {'clock'}                                   as in open.lua
-- ARGV[14] and [15]: the caller's clock and until when the access token would be valid, as there
--
-- A handoff is kept per session, so spending the successor overwrites its predecessor's. A generation
-- above the stored one means that Redis has lost writes; it falls under 'reused' and ends the session.
--
-- A handoff to another network or user agent than that of the rotation is noted in the record, once a
-- rotation. Whoever steals a spent token follows by such handoffs: the third rotation in a row that
-- had one is answered as theft is.

local sid, presented, handoff_key = ARGV[5], ARGV[7], HANDOFF .. tag .. ARGV[5]
local record, key = living(sid)
if not record then return {'ended'} end
if not is_known(record) then return redis.error_reply(UNKNOWN_RECORD) end
local version, generation, opened, _, life = struct.unpack(HEADER, record)
local now, proof = now_ms(), record:byte(HEADER_BYTES + 1)

local function theft()
  finish(sid, key)
  emit('session.reuseDetected', ARGV[6], 'generation', ARGV[13], 'current', generation)
  return {'reused'}
end

if key ~= SESSION .. tag .. presented then
  local handoff = redis.call('GET', handoff_key)
  if handoff and (#handoff ~= HANDOFF_BYTES or
    (handoff:sub(1, #presented) ~= presented and tonumber(ARGV[13]) == generation - 1)) then
    -- Only the immediate predecessor's handoff can be here; if this is not it, it is no handoff.
    return redis.error_reply('LAYOUT the handoff is of an unknown version')
  end
  if not handoff or handoff:sub(1, #presented) ~= presented then return theft() end
  local expiry = redis.call('PEXPIRETIME', key)
  if not in_time(ARGV[14], ARGV[15], expiry, now) then return {'clock'} end
  local mark = handoff_mark(generation)
  if is_elsewhere(record:sub(HEADER_BYTES + 2), ARGV[10]) and mark_of(proof) ~= mark then
    local in_a_row = 1
    if mark_of(proof) == handoff_mark(generation - 1) then in_a_row = run_of(proof) + 1 end
    emit('session.handoffElsewhere', ARGV[6], 'generation', generation, 'inARow', in_a_row)
    if in_a_row >= MOST_IN_A_ROW then return theft() end
    record = record:sub(1, HEADER_BYTES) .. string.char(proof % 8 + in_a_row * 8 + mark * 32)
      .. record:sub(HEADER_BYTES + 2)
    redis.call('SET', key, record, 'KEEPTTL')
  end
  return {'handoff', record, expiry, handoff:sub(#presented + 1)}
end

local wait = count_rotation(sid, record, opened, generation, now)
if wait then return {'limited', wait} end
local expiry = math.min(now + tonumber(ARGV[11]), opened + life)
if not in_time(ARGV[14], ARGV[15], expiry, now) then return {'clock'} end
-- What was noted of handoffs counts for the next rotation, and for none after it.
if mark_of(proof) ~= handoff_mark(generation) then proof = proof % 8 end
local used = math.max(now - opened, 0) -- Redis' clock may have been put back
local successor = struct.pack(HEADER, version, generation + 1, opened, used, life)
  .. string.char(proof) .. ARGV[10]
keep(sid, ARGV[8], successor, expiry)
redis.call('DEL', key)
redis.call('SET', handoff_key, presented .. ARGV[9], 'PX', ARGV[12])
emit('session.rotated', ARGV[6])
return {'rotated', successor, expiry}
