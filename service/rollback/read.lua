-- Read entries of a bucket's feed, and whose sessions they have ended.
--
-- keys revoked, events    arguments after, before: ids as XREVRANGE takes them
-- Outcome: {entries, newest first}, each {id, number, kind, user, subject, time}; AT_ONCE at the most.
-- The user of the end of one session stands in its event, which the same script has written in the
-- same millisecond; '' if there is none any more.

-- `%02x` for each byte costs four times as much: most are ids of sessions.
local function hex(bytes)
  if #bytes == 12 then
    local a, b, c = struct.unpack('>I4I4I4', bytes)
    return bit.tohex(a) .. bit.tohex(b) .. bit.tohex(c)
  end
  return string.format(string.rep('%02x', #bytes), bytes:byte(1, -1))
end

-- The users of sessions among the newest events: where the clock was put back, times differ.
local newest
local function among_newest(session)
  if not newest then
    newest = {}
    for _, event in ipairs(redis.call('XREVRANGE', events, '+', '-', 'COUNT', LOOKED_AT)) do
      local of = event[2]
      if of[9] == 'session' and not newest[of[10]] then newest[of[10]] = of[4] end
    end
  end
  return newest[session] or ''
end

local entries = redis.call('XREVRANGE', revoked, before, after, 'COUNT', AT_ONCE)

-- The users of sessions among the events of that time: of many entries they are read in one step.
local of_that_time = {}
if #entries >= MANY then
  local last, first = entries[1][1]:match('^%d+'), entries[#entries][1]:match('^%d+')
  for _, event in ipairs(redis.call('XREVRANGE', events, last, first, 'COUNT', 4 * AT_ONCE)) do
    local of = event[2]
    if of[9] == 'session' then of_that_time[of[10]] = of[4] end
  end
end

local function user_of(id, session)
  if of_that_time[session] then return of_that_time[session] end
  local at = id:match('^%d+')
  for _, event in ipairs(redis.call('XREVRANGE', events, at, at)) do
    if event[2][9] == 'session' and event[2][10] == session then return event[2][4] end
  end
  return among_newest(session)
end

local found = {}
for _, entry in ipairs(entries) do
  local id, of = entry[1], entry[2]
  local kind = of[3]
  if kind == 's' then
    found[#found + 1] = {id, of[2], kind, user_of(id, hex(of[4])), of[4], ''}
  elseif kind == 'u' then
    found[#found + 1] = {id, of[2], kind, hex(of[4]), of[8] or '', of[6]}
  else
    found[#found + 1] = {id, of[2], kind, '', '', of[6] or ''}
  end
end
return found
