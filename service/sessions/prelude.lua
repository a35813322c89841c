-- Stands before each script of this package: what all of them share. Redis runs it at every call,
-- so what only some need stands in records.lua and feed.lua.
--
-- KEYS[1] sessions:{b}:<uid>, the user's index    KEYS[2] events:{b}
-- ARGV[1] prefix of session keys                  ARGV[2] prefix of handoff keys
-- ARGV[3] how many events the stream keeps        ARGV[4] user id, hex
-- ARGV[5] address of the client, '' if unknown    ARGV[6] request id
-- Session and handoff keys are made from the prefixes here, because which ones are needed is known
-- only after the index was read. They carry the tag of KEYS[1], so a cluster has them in one slot.

local index, events = KEYS[1], KEYS[2]
local session_prefix, handoff_prefix = ARGV[1], ARGV[2]

-- The index holds, besides session ids, the version of the user row that `v` names.
local VERSION_FIELD = 'v'

local function hex(bytes)
  return string.format(string.rep('%02x', #bytes), bytes:byte(1, -1))
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function emit(what, sid, ...)
  redis.call('XADD', events, 'MAXLEN', '~', ARGV[3], '*', 'type', what, 'user', ARGV[4],
    'session', hex(sid), 'ip', ARGV[5], 'request', ARGV[6], ...)
end

-- The record and the key of the session `sid`; nothing when it has ended.
local function living(sid)
  local digest = redis.call('HGET', index, sid)
  if not digest then return nil end
  local key = session_prefix .. digest
  local record = redis.call('GET', key)
  if not record then return nil end
  return record, key
end
