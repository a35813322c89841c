-- After prelude.lua, before the scripts that read or write a record.

local byte = string.byte -- as a method it would cost twice as much

-- Where the device begins in a record; nothing in one whose version or length is another: that is neither
-- theft nor expired, nothing is known of it but when it was opened (everybody.lua).
local function device_in(record)
  local layout, start = byte(record), PLAIN_DEVICE
  if layout == 2 then start = FULL_DEVICE elseif layout ~= 1 then return nil end
  local length = byte(record, start) -- of the address (origin.py)
  if not (length == 0 or length == 4 or length == 16) or #record < start + length then return nil end
  -- A version of the row above 2 ^ 53, or a proof after the life at the most, by the highest bytes.
  if layout == 2 and (byte(record, 28) >= 32 or byte(record, 23) > byte(record, 17)) then return nil end
  return start
end

-- What a record says: generation, opened, last used, life, proof (authentication and handoffs), last
-- proof of identity, version of the user row, flags, device; nothing where `device_in` says so, but where a
-- version from before layout 2 has rotated the session (record.py): it counts no more, by a row of -1.
local function unpack_record(record)
  local start, no_row = device_in(record), 0
  if not start and byte(record) == 2 and (byte(record, PLAIN_DEVICE) or 0) > 0 then
    start, no_row = device_in('\1' .. record:sub(2)), -1
  end
  if not start then return nil end
  if start == PLAIN_DEVICE then
    local _, generation, opened, used, life, proof = struct.unpack(PLAIN, record)
    return generation, opened, used, life, proof, 0, no_row, 0, record:sub(start)
  end
  local _, generation, opened, used, life, proof, last_proof, row, flags = struct.unpack(FULL, record)
  return generation, opened, used, life, proof, last_proof, row, flags, record:sub(start)
end

-- Versions of this program from before layout 2 can read most records, and a plain one stays short.
local function pack_record(generation, opened, used, life, proof, last_proof, row, flags, client)
  if last_proof == 0 and row == 0 and flags == 0 then
    return struct.pack(PLAIN, 1, generation, opened, used, life, proof) .. client
  end
  return struct.pack(FULL, 2, generation, opened, used, life, proof, last_proof, row, flags) .. client
end

-- Whether a process whose clock shows `theirs` may sign an access token, good until `last`, for a
-- session that ends at `expiry`: it must neither have ended for that process, nor for everybody else,
-- and a process whose clock is a minute off is not to be believed in what it signs.
local function in_time(theirs, last, expiry, now)
  return math.abs(theirs - now) < CLOCK_SKEW and expiry > theirs and last > now
end

-- Keep `record` under `digest` until `expiry` (ms since 1970); the index lives as long as its longest, and
-- somewhat longer, so that not each rotation has to write that.
local function keep(sid, digest, record, expiry, idle)
  redis.call('SET', SESSION .. tag .. digest, record, 'PXAT', expiry)
  redis.call('HSET', index, sid, digest)
  if redis.call('PEXPIRETIME', index) < expiry then -- which is negative where it has no life yet
    redis.call('PEXPIREAT', index, expiry + math.floor(idle / 128))
  end
end
