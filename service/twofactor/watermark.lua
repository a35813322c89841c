-- After sessions/prelude.lua, before the scripts that judge a code.
--
-- argument clock: of the process that calls, ms

local MOST_WRONG_TRIES = 5

-- Before a code is judged: by which clock would it be right?
local function check_clock()
  local time = redis.call('TIME')
  if math.abs(time[1] * 1000 + time[2] / 1000 - clock) >= CLOCK_SKEW then
    error({err = 'CLOCK the clock of this process is too far from this one'})
  end
end

-- Let a code of this step count, once: only a step newer than the last accepted one of the secret, and
-- than those that count as used in the whole bucket: its floor (rollback/floors.py). Where there is none
-- Redis was emptied, and which codes were used is forgotten: none is judged.
-- One that is over by more than its life, and the clocks, is none: of a cut number nothing is known.
local function accept_step(watermark, step)
  local found = redis.call('MGET', watermark, watermark:match('^[^}]+}:') .. FLOOR)
  if HAS_FLOORS and not found[2] then
    error({err = 'FORGOTTEN Redis has lost its memory of the codes that were used'})
  end
  local last, floor = found[1], tonumber(found[2] or 0)
  local oldest = step - (WATERMARK_LIFE + 4 * CLOCK_SKEW) / STEP
  if last and not (last:match('^%d+$') and tonumber(last) >= oldest) then
    unknown('the last accepted step')
  end
  if tonumber(step) <= math.max(tonumber(last or 0), floor) then return false end
  redis.call('SET', watermark, step, 'PX', WATERMARK_LIFE)
  return true
end
