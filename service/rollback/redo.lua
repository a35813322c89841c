-- Do again what entries of a bucket's feed have ended, which this Redis does not have any more.
--
-- keys        revocations, revoked, before, of the bucket
-- values      had: number of the last entry that it had · index, tag: `sessions:{b}:`, `{b}:` · then of
--             each entry number, id, kind, user, subject, time, and '1' if guards need it in the feed
-- Outcome: how many sessions that lived here have ended, or -1: the number is another than `had`
-- It may be done twice. The number stays as it is: settle.lua raises it, when all has been done.

local call = redis.call
local had, prefix, tag = values[1], values[2], values[3]
if (call('GET', revocations) or '0') ~= had then return -1 end
local last = call('XREVRANGE', revoked, '+', '-', 'COUNT', 1)[1]
local told, ended = last and tonumber(last[2][2]) or 0, 0

local function finish(index, session, digest)
  call('HDEL', index, session)
  call('DEL', HANDOFF .. tag .. session)
  ended = ended + call('DEL', SESSION .. tag .. digest)
end

local function cut_off(index, kept, t)
  local stays = {}
  for start = 1, #kept, SESSION_ID_BYTES do
    stays[kept:sub(start, start + SESSION_ID_BYTES - 1)] = true
  end
  local entries = call('HGETALL', index)
  if #entries == 0 then return end
  for i = 1, #entries, 2 do
    local session, digest = entries[i], entries[i + 1]
    if #session == SESSION_ID_BYTES and not stays[session] then
      local record = call('GET', SESSION .. tag .. digest)
      if not record or #record < 11 or struct.unpack('>I6', record, 6) <= t then
        finish(index, session, digest)
      end
    end
  end
  local latest = tonumber(call('HGET', index, CUT_OFF_FIELD) or 0)
  if t > latest and call('EXISTS', index) == 1 then
    call('HSET', index, CUT_OFF_FIELD, string.format('%.0f', t))
  end
end

-- With its own id and number, so that guards that have read it find it again.
local function tell(number, id, ...)
  local added = redis.pcall('XADD', revoked, id, 'n', number, ...)
  if type(added) == 'table' and added.err then
    call('XADD', revoked, '*', 'n', number, ...)
  end
end

for at = 4, #values, 7 do
  local number, id, kind, user, subject, t, needed = unpack(values, at, at + 6)
  local is_news = needed == '1' and tonumber(number) > told
  if kind == 's' then
    local digest = user ~= '' and call('HGET', prefix .. user, subject)
    if digest then finish(prefix .. user, subject, digest) end
    if is_news then tell(number, id, 's', subject) end
  elseif kind == 'u' then
    cut_off(prefix .. user, subject, tonumber(t))
    if is_news and subject == '' then tell(number, id, 'u', user, 't', t) end
    if is_news and subject ~= '' then tell(number, id, 'u', user, 't', t, 'k', subject) end
  elseif kind == 'g' then
    if tonumber(call('GET', before) or 0) < tonumber(t) then call('SET', before, t) end
    if is_news then tell(number, id, 'g', 1, 't', t) end
  end
  if is_news then told = tonumber(number) end
end
return ended
