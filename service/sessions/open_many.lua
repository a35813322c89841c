-- Open sessions of several users of a bucket, as open.lua would, for tools: by a login with nothing but
-- a password, by a row of which nothing is noted. It ends at the first user of whom anything is
-- unusual: they and those after them are left to open.lua.
--
-- keys        events · `before` of the bucket · the index of each user
-- arguments   tag · event · numbers: clock, valid_until, idle, life, most, as in open.lua, and proof, as in a
--             record · and for each user: their id in hex, and how many sessions in one byte; then each of
--             these: id, digest, id in hex, address and request id, each behind its length, and device
-- Outcomes: {how many users it is done for, their records without the device, expires at} · 'clock', as in
-- open.lua

local call, tag, event = redis.call, arguments[1], arguments[2]
local clock, valid_until, idle, life, most, proof = struct.unpack('>i8i8i8i8i8i8', arguments[3])
local time = call('TIME')
local now = time[1] * 1000 + time[2] / 1000
now = now - now % 1
local expiry = now + math.min(idle, life)
if math.abs(clock - now) >= CLOCK_SKEW or expiry <= clock or valid_until <= now then return 'clock' end
local before = call('GET', keys[2])
if before and tonumber(before) >= now then return {0, '', expiry} end

local head = struct.pack(PLAIN, 1, 0, now, 0, life, proof) -- as in `pack_record` of records.lua
local done, place = 0, 4
for number = 3, #keys do
  local index, user, count = keys[number], arguments[place]:sub(1, 32), arguments[place]:byte(33)
  local there = call('HLEN', index)
  local known = there > 0 and call('HMGET', index, VERSION_FIELD, CUT_OFF_FIELD) or {}
  if there + count > most or (known[1] and not known[1]:match(SETTLED))
    or (known[2] and tonumber(known[2]) >= now) then break end
  local fields = {}
  for each = 1, count do
    local session = arguments[place + each]
    local sid, digest, sid_hex, ip, request, device = struct.unpack('>c12c16c24Bc0I2c0', session)
    call('SET', SESSION .. tag .. digest, head .. session:sub(device), 'PXAT', expiry)
    call('XADD', keys[1], '*', 'type', event, 'user', user, 'ip', ip, 'request', request, 'session', sid_hex)
    fields[2 * each - 1], fields[2 * each] = sid, digest
  end
  call('HSET', index, unpack(fields))
  if call('PEXPIRETIME', index) < expiry then -- as in `keep` of records.lua
    call('PEXPIREAT', index, expiry + math.floor(idle / 128))
  end
  done, place = done + 1, place + count + 1
end
if call('XLEN', keys[1]) > EVENTS_MAX then make_room(keys[1]) end
return {done, head, expiry}
