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
--   {'ended'}                                   no such session any more
-- A handoff is kept per session, so spending the successor overwrites its predecessor's. A generation
-- above the stored one means that Redis has lost writes; it falls under 'reused' and ends the session.

local sid, presented, handoff_key = ARGV[5], ARGV[7], HANDOFF .. tag .. ARGV[5]
local record, key = living(sid)
if not record then return {'ended'} end
local version, generation, opened, _, life = struct.unpack(HEADER, record)

if key ~= SESSION .. tag .. presented then
  local handoff = redis.call('GET', handoff_key)
  if handoff and handoff:sub(1, #presented) == presented then
    return {'handoff', record, redis.call('PEXPIRETIME', key), handoff:sub(#presented + 1)}
  end
  finish(sid, key)
  emit('session.reuseDetected', ARGV[6], 'generation', ARGV[13], 'current', generation)
  return {'reused'}
end

local now = now_ms()
local expiry = math.min(now + tonumber(ARGV[11]), opened + life)
local authentication = record:sub(HEADER_BYTES + 1, HEADER_BYTES + 1)
local used = math.max(now - opened, 0) -- Redis' clock may have been put back
local successor = struct.pack(HEADER, version, generation + 1, opened, used, life)
  .. authentication .. ARGV[10]
keep(sid, ARGV[8], successor, expiry)
redis.call('DEL', key)
redis.call('SET', handoff_key, presented .. ARGV[9], 'PX', ARGV[12])
emit('session.rotated', ARGV[6])
return {'rotated', successor, expiry}
