-- After prelude.lua, before the scripts that write a record.

-- Offsets 0 to 20 of a record (record.py): version, generation, opened, last used, life at the most.
local HEADER, HEADER_BYTES = '>BI4I6I5I5', 21

-- A record of another version or length is neither theft nor expired: nothing is known of it. Behind
-- the header and one byte of authentication stands the address, after its length (origin.py).
local function is_known(record)
  local length = record:byte(HEADER_BYTES + 2)
  return record:byte(1) == RECORD_VERSION and (length == 0 or length == 4 or length == 16)
    and #record > HEADER_BYTES + 1 + length
end

-- Whether a process whose clock shows `theirs` may sign an access token, good until `last`, for a
-- session that ends at `expiry`: it must neither have ended for that process, nor for everybody else.
local function in_time(theirs, last, expiry, now)
  return expiry > tonumber(theirs) and tonumber(last) > now
end

-- Keep `record` under `digest` until `expiry` (ms since 1970); the index lives as long as its longest.
local function keep(sid, digest, record, expiry)
  redis.call('SET', SESSION .. tag .. digest, record, 'PXAT', expiry)
  redis.call('HSET', index, sid, digest)
  -- GT alone never gives a life to the index that has none yet: it takes that for an endless one.
  if redis.call('PEXPIREAT', index, expiry, 'GT') == 0
    and redis.call('PEXPIRETIME', index) < expiry then
    redis.call('PEXPIREAT', index, expiry)
  end
end
