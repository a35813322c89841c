-- Before the scripts that look at limits.
--
-- lists: the list of each limit, of the times of its attempts, µs; behind them, of an account, the
--   hash `noted`: when its limits were forgiven, and which lists of networks were full at what time
-- limits: of each limit four numbers
--   1 how many attempts    2 in how many ms; in a row: how long one waits then
--   3 in a row: the longest wait, ms, else 0    4 the life of the list, ms

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local noted = lists[#limits / 4 + 1]
local forgiven = noted and tonumber(redis.call('HGET', noted, 'forgiven') or 0) or 0

local function limit(i)
  return tonumber(limits[4 * i - 3]), limits[4 * i - 2] * 1000, limits[4 * i - 1] * 1000
end

-- How long one waits until an attempt would be counted under a limit, µs; what is over is dropped.
local function wait_of(i, key)
  local most, window, longest = limit(i)
  if longest > 0 then
    local further = -1
    while redis.call('LINDEX', key, -most - further - 1) do further = further + 1 end
    if further < 0 then return 0 end
    return redis.call('LINDEX', key, -1) + math.min(window * 2 ^ further, longest) - now
  end
  local oldest = redis.call('LINDEX', key, 0)
  while oldest and tonumber(oldest) <= math.max(now - window, forgiven) do
    redis.call('LPOP', key)
    oldest = redis.call('LINDEX', key, 0)
  end
  local blocking = redis.call('LINDEX', key, -most)
  return blocking and blocking + window - now or 0
end

-- Of each limit, ms; and the longest of them.
local function waits()
  local each, longest = {}, 0
  for i = 1, #limits / 4 do
    each[i] = math.max(0, math.ceil(wait_of(i, lists[i]) / 1000))
    longest = math.max(longest, each[i])
  end
  return each, longest
end
