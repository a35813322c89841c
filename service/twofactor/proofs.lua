-- After sessions/records.lua, before the scripts that end what a second factor has proved.

-- The second factor that they have proved is no more: no session claims it at its next refresh.
-- Records of an unknown version are left to those that know them (they ask the user store, too).
local function forget_second_factor()
  local entries, keys = redis.call('HGETALL', index), {}
  for i = 1, #entries, 2 do
    if #entries[i] == SESSION_ID_BYTES then keys[#keys + 1] = SESSION .. tag .. entries[i + 1] end
  end
  for start = 1, #keys, AT_ONCE do
    local last = math.min(start + AT_ONCE - 1, #keys)
    local records = redis.call('MGET', unpack(keys, start, last))
    for i = start, last do
      local record = records[i - start + 1]
      -- GET: an error where something else is there, for which MGET answers nothing.
      if not record then redis.call('GET', keys[i]) end
      local proof = record and record:byte(PROOF + 1) or 0 -- there in each layout
      local left = proof - proof % 8 + proof % 2 -- record.py: bit 0 is the password
      if left ~= proof and device_in(record) then
        redis.call('SET', keys[i], record:sub(1, PROOF) .. string.char(left) .. record:sub(PROOF + 2),
          'KEEPTTL')
      end
    end
  end
end
