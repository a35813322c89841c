-- Take the next message of a bucket that is to be sent now, for as long as LEASE.
--
-- key box
-- Outcome: {how many wait, when the oldest was kept, ms since 1970; in how many ms there is something
-- to do again, -1 for nothing; the message, if there is one now: {entry id, tries with this one, user,
-- message id, sealed}}
--
-- A message that is being sent is owned by SENDING, and free again after LEASE: its sender was killed.
-- One that is to be tried again is owned by WAITING, for a time that triples with each try.

local waiting = redis.call('XLEN', box)
if waiting == 0 then return {0, 0, -1} end

local function wait_of(owner, tries)
  if owner == SENDING then return LEASE end
  return math.min(FIRST_WAIT * 3 ^ (tries - 1), LONGEST_WAIT)
end

local function read(entry, tries)
  local found = {}
  for i = 1, #entry[2], 2 do found[entry[2][i]] = entry[2][i + 1] end
  return {entry[1], tries, found.user, found.id, found.sealed}
end

local oldest, next_in, taken = nil, -1, nil
for _, each in ipairs(redis.call('XPENDING', box, GROUP, '-', '+', AT_ONCE)) do
  local id, owner, idle, tries = unpack(each)
  oldest = oldest or id
  local left = wait_of(owner, tries) - idle
  if left > 0 then
    if next_in < 0 or left < next_in then next_in = left end
  elseif taken then
    next_in = 0
  else
    local claimed = redis.call('XCLAIM', box, GROUP, SENDING, 0, id)
    if claimed[1] then taken = read(claimed[1], tries + 1) end
  end
end
if not taken then
  local fresh = redis.call('XREADGROUP', 'GROUP', GROUP, SENDING, 'COUNT', 1, 'STREAMS', box, '>')
  if fresh then
    taken, next_in = read(fresh[1][2][1], 1), 0
    oldest = oldest or taken[1]
  end
else
  next_in = 0
end
return {waiting, tonumber((oldest or '0'):match('^%d+')), math.ceil(next_in), taken}
