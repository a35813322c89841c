-- After records.lua, before rotate.lua: what a record notes of handoffs to elsewhere (record.py).

local MOST_IN_A_ROW = 3

-- Three bits for the generation that the latest was noted at. 0: none.
local function generation_bits(generation) return generation < 0 and -1 or 1 + generation % 7 end
local function noted_bits(proof) return math.floor(proof / 32) end
-- How many rotations in a row had one by then.
local function run_of(proof) return math.floor(proof / 8) % 4 end

-- The network of a packed origin (that of `network` in origin.py), and its user agent.
local function network(client)
  local length = client:byte(1)
  local address, user_agent = client:sub(2, length + 1), client:sub(length + 2)
  if length == 16 then
    if address:sub(1, 12) ~= string.rep('\0', 10) .. '\255\255' then
      return '6' .. address:sub(1, 8), user_agent
    end
    address = address:sub(13)
  end
  return address:sub(1, 3), user_agent
end

local function is_elsewhere(one, other)
  if one == other then return false end
  local its_network, its_user_agent = network(one)
  local other_network, other_user_agent = network(other)
  return its_network ~= other_network or its_user_agent ~= other_user_agent
end
