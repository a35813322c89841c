-- After network.lua: what a record notes of handoffs to elsewhere (record.py).

local MOST_IN_A_ROW = 3

-- Three bits for the generation that the latest was noted at. 0: none.
local function generation_bits(generation) return generation < 0 and -1 or 1 + generation % 7 end
local function noted_bits(proof) return math.floor(proof / 32) end
-- How many rotations in a row had one by then.
local function run_of(proof) return math.floor(proof / 8) % 4 end

local function is_elsewhere(one, other)
  if one == other then return false end
  local its_network, its_user_agent = network(one)
  local other_network, other_user_agent = network(other)
  return its_network ~= other_network or its_user_agent ~= other_user_agent
end
