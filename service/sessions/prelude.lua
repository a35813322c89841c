-- Stands before most scripts of this package: what they share. Redis runs it at every call, so what
-- only some need stands in records.lua, others.lua and feed.lua.
--
-- KEYS[1] sessions:{b}:<uid>, the user's index    KEYS[2] events:{b}
-- ARGV[1] {b}:                                    ARGV[2] user id, hex
-- ARGV[3] address of the client, '' if unknown    ARGV[4] request id
-- Session and handoff keys are made from their prefixes here, because which ones are needed is known
-- only after the index was read. They carry the tag of KEYS[1], so a cluster has them in one slot.
-- SESSION, HANDOFF, VERSION_FIELD: constants, from scripts.py
-- EVENTS_MAX, make_room: from link.py
-- What is stored in a layout that this version does not know is an error reply that begins with
-- LAYOUT, before anything is written: service/redis/scripts.py makes a 503 of it.

local index, tag = KEYS[1], ARGV[1]

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Append an event about the session whose id is, in hex, `session`.
local function emit(what, session, ...)
  redis.call('XADD', KEYS[2], '*', 'type', what, 'user', ARGV[2],
    'session', session, 'ip', ARGV[3], 'request', ARGV[4], ...)
  if redis.call('XLEN', KEYS[2]) > EVENTS_MAX then make_room(KEYS[2]) end
end

-- The record and the key of the session `sid`; nothing when it has ended.
local function living(sid)
  local digest = redis.call('HGET', index, sid)
  if not digest then return nil end
  local key = SESSION .. tag .. digest
  local record = redis.call('GET', key)
  if not record then return nil end
  return record, key
end
