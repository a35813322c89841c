-- After sessions/records.lua, before the scripts that end what a second factor has proved.

-- The second factor that they have proved is no more: no session claims it at its next refresh.
-- Records of an unknown version are left to those that know them (they ask the user store, too).
local function forget_second_factor()
  local entries = redis.call('HGETALL', index)
  for i = 1, #entries, 2 do
    local key = SESSION .. tag .. entries[i + 1]
    local record = #entries[i] == SESSION_ID_BYTES and redis.call('GET', key)
    if record and unpack_record(record) then
      local proof = record:byte(PROOF + 1) -- there in each layout
      local left = proof - proof % 8 + proof % 2 -- record.py: bit 0 is the password
      if left ~= proof then
        redis.call('SET', key, record:sub(1, PROOF) .. string.char(left) .. record:sub(PROOF + 2),
          'KEEPTTL')
      end
    end
  end
end
