-- Stands before each script of this package: what they share.
--
-- KEYS[1] sessions:{b}:<uid>, the user's index    KEYS[2] events:{b}
-- ARGV[1] not used                                ARGV[2] user id, hex
-- ARGV[3] address of the client, '' if unknown    ARGV[4] request id
-- The last of ARGV: for how long a change of the user row may be under way, ms; before it the clock of
-- the process that calls, ms
-- SESSION, RECORD_VERSION, CLOCK_SKEW, …: constants, from scripts.py
-- What is stored in a layout that this version does not know is an error reply that begins with LAYOUT,
-- before anything is written: service/redis/scripts.py makes a 503 of it. So is CLOCK.

local index, events = KEYS[1], KEYS[2]
local MOST_WRONG_TRIES = 5

local function unknown(what) error({err = 'LAYOUT ' .. what .. ' is of an unknown version'}) end

-- Before a code is judged: by which clock would it be right?
local function check_clock()
  local time = redis.call('TIME')
  if math.abs(time[1] * 1000 + time[2] / 1000 - ARGV[#ARGV - 1]) >= CLOCK_SKEW then
    error({err = 'CLOCK the clock of this process is too far from this one'})
  end
end

-- The pending enrolment: id, wrong tries, confirming step (0: none), sealed secrets.
local function pending_of(key)
  local pending = redis.call('GET', key)
  if pending and #pending ~= PENDING_BYTES then unknown('the pending enrolment') end
  return pending
end

-- The second factor that they have proved is no more: no session claims it at its next refresh.
-- Records of an unknown version are left to those that know them (they ask the user store, too).
local function forget_second_factor()
  local entries, prefix = redis.call('HGETALL', index), SESSION .. index:match('{%x%x}:')
  for i = 1, #entries, 2 do
    local key = prefix .. entries[i + 1]
    local record = #entries[i] == SESSION_ID_BYTES and redis.call('GET', key)
    if record and record:byte(1) == RECORD_VERSION
      and #record > PROOF + 1 + (record:byte(PROOF + 2) or 16) then
      local proof = record:byte(PROOF + 1)
      local left = proof - proof % 8 + proof % 2 -- record.py: bit 0 is the password
      if left ~= proof then
        redis.call('SET', key, record:sub(1, PROOF) .. string.char(left) .. record:sub(PROOF + 2),
          'KEEPTTL')
      end
    end
  end
end

local function emit(what, ...)
  redis.call('XADD', events, '*', 'type', what, 'user', ARGV[2],
    'ip', ARGV[3], 'request', ARGV[4], ...)
  if redis.call('XLEN', events) > EVENTS_MAX then make_room(events) end
end

-- While changes of the user row are under way, `v` of the index makes pods ask the user store. It
-- then is '?', how many they are, the highest version that one of them has published, and when the
-- latest began. Only the last to publish ends that: until then the row may be newer already. A
-- killed process leaves '?' behind, which is slower and never wrong.
local LONGEST_CHANGE = tonumber(ARGV[#ARGV])

local function version_state()
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local known = redis.call('HGET', index, 'v') or '0'
  local count, highest, began = known:match('^%?(%d+) (%d+) (%d+)$')
  if not count and not known:match('^%d+$') then unknown('the version of the user row') end
  if not count then return now, 0, tonumber(known), now end
  if now - began > LONGEST_CHANGE then count = 0 end
  return now, tonumber(count), tonumber(highest), began
end

local function announce_change()
  local now, count, highest = version_state()
  redis.call('HSET', index, 'v', string.format('?%.0f %.0f %.0f', count + 1, highest, now))
  -- Somebody may sign in meanwhile.
  if redis.call('PTTL', index) < LONGEST_CHANGE then redis.call('PEXPIRE', index, LONGEST_CHANGE) end
end

-- Whether this version was news. Without an index nobody is signed in and nobody asks.
local function publish(version)
  if redis.call('EXISTS', index) == 0 then return false end
  local _, count, before, began = version_state()
  local highest = math.max(before, tonumber(version))
  if count > 1 then
    redis.call('HSET', index, 'v', string.format('?%.0f %.0f %s', count - 1, highest, began))
  else
    redis.call('HSET', index, 'v', string.format('%.0f', highest))
  end
  return highest > before
end

-- Let a code of this step count, once: only a step newer than the last accepted one of the secret.
-- One that is over by more than its life, and the clocks, is none: of a cut number nothing is known.
local function accept_step(watermark, step, life)
  local last, oldest = redis.call('GET', watermark), step - (life + 4 * CLOCK_SKEW) / STEP
  if last and not (last:match('^%d+$') and tonumber(last) >= oldest) then
    unknown('the last accepted step')
  end
  if last and tonumber(step) <= tonumber(last) then return false end
  redis.call('SET', watermark, step, 'PX', life)
  return true
end
