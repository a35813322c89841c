-- After sessions/prelude.lua, before the scripts that use tickets up.

-- Whether a ticket was minted before Redis went back in time: then it may have been used since
-- (rollback/floors.py).
local function is_of_before(key, minted)
  return minted <= tonumber(redis.call('GET', key:match('^[^}]+}:') .. FLOOR) or 0)
end
