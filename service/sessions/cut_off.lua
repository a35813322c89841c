-- The end of all sessions of a user but few, at once; after end_all.lua or revoke_all.lua, which say which,
-- by these locals. Without functions where it can be, as in rotate.lua: to make two dozen took a tenth of
-- what Redis takes for the end of one session. And by plain loops, which take a tenth for that of fifty.
--
-- argument kinds: those of feed entries that guards know; 1: none but the end of one session
-- kept: id of a session that stays, '' for none
-- least: version of the user row; whoever was opened by it or a later one stays, '' for nobody
-- version: that of the row, which is published in the same step; '' where it is not known
-- what, fields: of the event, which has the count besides
-- Outcome: {how many have ended, the number of the last entry in the feed}; where none has and no version
-- is told, nothing is written, and the number is 0
--
-- Guards know no rows. They are told a time, and refuse the user's sessions that were opened by then,
-- but for those that stay: T is at least that of any session that has ended, and open.lua stamps each
-- later one with more. It is that of the event's id, which goes on where Redis' clock was put back.

-- Sessions that are looked at one by one; and where there are relying parties, who are told of each. With
-- more, nothing is done that takes longer with their number: their records stay until they expire, and
-- nothing finds them. (What other versions of this program keep in such an index goes, too.)
local MOST_LOOKED_AT, MOST_NAMED = 64, 128

local now, marks = now_ms(), redis.call('MGET', BEFORE .. tag:sub(1, 4), events .. PARTIES)
local before, has_parties = marks[1], marks[2]
local most = has_parties and MOST_NAMED or MOST_LOOKED_AT

-- The index: ids of sessions and, in the same places, the keys of their records; what it says of the user,
-- by field; and `entries` that stay, with what is another version's.
local ids, keys, known, entries = {}, {}, {}, {}
local prefix = SESSION .. tag
local function take(fields_and_values)
  local count = #ids
  for i = 1, #fields_and_values, 2 do
    local name, value = fields_and_values[i], fields_and_values[i + 1]
    if #name == SESSION_ID_BYTES then
      count = count + 1
      ids[count], keys[count] = name, prefix .. value
    elseif name == VERSION_FIELD or name == CUT_OFF_FIELD or name == MEANWHILE_FIELD then
      known[name] = value
    else
      entries[#entries + 1], entries[#entries + 2] = name, value
    end
  end
end

local size = redis.call('HLEN', index)
local is_whole = size <= most + 3 or kinds == 1 -- three are what it says of the user
if is_whole then
  take(redis.call('HGETALL', index))
  size = #ids
else
  local own = {VERSION_FIELD, CUT_OFF_FIELD, MEANWHILE_FIELD}
  for i, value in ipairs(redis.call('HMGET', index, unpack(own))) do
    if value then known[own[i]], size = value, size - 1 end
  end
end
local noted, meanwhile = known[VERSION_FIELD], known[MEANWHILE_FIELD] or ''
if version ~= '' then noted = noted_after(version, noted or '0') end -- before anything is written

-- Who may stay. Those opened by the new row are noted while it changes, and `came` tells which of them since
-- the latest change was announced; once it has, or if they are too many, they may be any.
local named, came = {}, nil
if least ~= '' then
  local is_changing = version ~= '' and (known[VERSION_FIELD] or ''):match(CHANGING)
  if is_changing and #meanwhile < SESSION_ID_BYTES * MOST_MEANWHILE then
    came = {}
    for start = 1, #meanwhile, SESSION_ID_BYTES do
      local id = meanwhile:sub(start, start + SESSION_ID_BYTES - 1)
      if id == ANNOUNCED then
        came = {}
      elseif id ~= kept then
        named[#named + 1], came[id] = id, true
      end
    end
  else
    named = nil
  end
end
if not is_whole and not named then
  take(redis.call('HGETALL', index))
  size = #ids
elseif not is_whole then
  if kept ~= '' then named[#named + 1] = kept end
  local found = {}
  for i, digest in ipairs(#named > 0 and redis.call('HMGET', index, unpack(named)) or {}) do
    if digest then found[#found + 1], found[#found + 2] = named[i], digest end
  end
  take(found)
end

-- Who stays: sessions that live and were opened by the row, or a later one: one that came meanwhile, if that
-- is known, as in a user store that has gone back a number above is not a later one. And the one that is
-- kept, which counts as opened by that row from now on.
local stay = {[kept] = true}
if least ~= '' then
  stay, least = {}, tonumber(least)
  for start = 1, #keys, AT_ONCE do
    local last = math.min(start + AT_ONCE - 1, #keys)
    local records = redis.call('MGET', unpack(keys, start, last))
    for i = start, last do
      local id, record, row = ids[i], records[i - start + 1], 0
      if record and byte(record) == 2 and #record >= FULL_DEVICE then
        row = struct.unpack('>I7', record, 28)
      end
      if record and (row == least or row > least and (not came or came[id]) or id == kept)
        and device_in(record) and not is_over(record, before) then
        stay[id] = true
        if row < least then
          local generation, opened, used, life, proof, last_proof, _, flags, client =
            unpack_record(record)
          redis.call('SET', keys[i], pack_record(generation, opened, used, life, proof, last_proof,
            least, flags, client), 'KEEPTTL')
        end
      end
    end
  end
end
local stay_ids, ended = {}, #ids
if kept ~= '' or least ~= '' then
  local all = ended
  ended = 0
  for i = 1, all do
    local id, key = ids[i], keys[i]
    if stay[id] then
      stay_ids[#stay_ids + 1] = id
      entries[#entries + 1], entries[#entries + 2] = id, key:sub(#prefix + 1)
    else
      ended = ended + 1
      ids[ended], keys[ended] = id, key
    end
  end
  for i = all, ended + 1, -1 do ids[i], keys[i] = nil, nil end
end

-- The end of the others. `living`: those of them that have lived, where it matters which.
local is_small, count, number, living = size <= most, size - #stay_ids, nil, nil
if is_small and (before or has_parties) then
  local records = ended > 0 and redis.call('MGET', unpack(keys))
  living = {}
  for i = 1, ended do
    if records[i] and not is_over(records[i], before) then living[#living + 1] = ids[i] end
  end
end
if kinds == 1 then -- each is told of
  count, number = 0, 0
  for i, key in ipairs(keys) do
    redis.call('DEL', HANDOFF .. tag .. ids[i])
    if redis.call('DEL', key) == 1 then count, number = count + 1, tell_guards('s', ids[i]) end
  end
elseif is_small and ended > 0 then
  local handoffs, handoff = {}, HANDOFF .. tag
  for i = 1, ended do handoffs[i] = handoff .. ids[i] end
  redis.call('UNLINK', unpack(handoffs))
  count = redis.call('UNLINK', unpack(keys))
  if living then count = #living end
end
if count == 0 and version == '' then return {0, 0} end

-- Relying parties have to be told of each (relying_parties/endings.py).
if has_parties then
  for place, named_ids in ipairs({living or {}, stay_ids}) do
    local name, texts = place == 1 and 'sessions' or 'kept', {}
    for i = 1, #named_ids do texts[i] = hex(named_ids[i]) end
    if #texts > 0 then fields[#fields + 1], fields[#fields + 2] = name, table.concat(texts, ' ') end
  end
end
local at = emit(what, 'count', count, unpack(fields)):match('^%d+')
local t = math.max(now, at, (known[CUT_OFF_FIELD] or 0) + 1, (before or 0) + 1)
if kinds ~= 1 then
  local uid = index:sub(-USER_ID_BYTES)
  if #stay_ids == 0 then
    number = tell_guards('u', uid, 't', t)
  else
    number = tell_guards('u', uid, 't', t, 'k', table.concat(stay_ids))
  end
end

-- The index anew. It lives as long as the one before, or as somebody may still sign in by a row that was
-- read before the change. While that goes on, those that were opened meanwhile and stay are noted.
local expiry = now + LONGEST_CHANGE
if #entries > 0 then expiry = math.max(expiry, redis.call('PEXPIRETIME', index)) end
entries[#entries + 1], entries[#entries + 2] = CUT_OFF_FIELD, t
if noted then entries[#entries + 1], entries[#entries + 2] = VERSION_FIELD, noted end
if noted and noted:byte() == CHANGING_BYTE then
  local left = {}
  for start = 1, #meanwhile, SESSION_ID_BYTES do
    local id = meanwhile:sub(start, start + SESSION_ID_BYTES - 1)
    if stay[id] or id == ANNOUNCED then left[#left + 1] = id end
  end
  if #left > 0 then
    entries[#entries + 1], entries[#entries + 2] = MEANWHILE_FIELD, table.concat(left)
  end
end
redis.call('UNLINK', index)
for start = 1, #entries, AT_ONCE do -- which is even
  redis.call('HSET', index, unpack(entries, start, math.min(start + AT_ONCE - 1, #entries)))
end
redis.call('PEXPIREAT', index, expiry)
return {count, number}
