-- Stands before each script that changes what is a user's, here and in twofactor, but for the usual way of a
-- refresh and an enrolment (rotate.lua, begin.lua): what all share.
-- Redis runs it at every call, so what only some need stands in files of its own.
--
-- keys        index, of the user's sessions · events, of the bucket
-- arguments   tag, `{b}:` · user, their id in hex · ip, of the client, '' if unknown · request, its id
-- All of them are in the place that `user_scripts.py` declares. Session and handoff keys are made from
-- their prefixes here, because which ones are needed is known only after the index was read. They
-- carry the tag, so a cluster has them in one slot.
-- EVENTS_MAX, make_room: from service/redis/preamble.py

-- What is stored in a layout that this version does not know is an error reply that begins with
-- LAYOUT, before anything is written: service/redis/scripts.py makes a 503 of it.
local function unknown(what) error({err = 'LAYOUT ' .. what .. ' is of an unknown version'}) end

-- The time, ms since 1970, as it was when the script first asked: TIME takes as long as reading two keys.
local asked_at
local function now_ms()
  if not asked_at then
    local time = redis.call('TIME')
    asked_at = time[1] * 1000 + time[2] / 1000
    asked_at = asked_at - asked_at % 1
  end
  return asked_at
end

-- Append an event about the user; `...`: its further fields. Return its id. Of many events it is enough to
-- ask in one of ten milliseconds whether they are too many, and at each hundredth of one millisecond, in
-- which all come while Redis' clock stands behind the stream.
local function emit(what, ...)
  local id =
    redis.call('XADD', events, '*', 'type', what, 'user', user, 'ip', ip, 'request', request, ...)
  if (EVENTS_MAX < 1000 or id:find('0-', 1, true) or id:sub(-2) == '00')
    and redis.call('XLEN', events) > EVENTS_MAX then make_room(events) end
  return id
end
