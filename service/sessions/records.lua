-- After prelude.lua, before the scripts that write a record.

-- Offsets 0 to 20 of a record (record.py): version, generation, opened, last used, life at the most.
local HEADER, HEADER_BYTES = '>BI4I6I5I5', 21

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
