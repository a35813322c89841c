-- After feed.lua, records.lua, everybody.lua, others.lua and row_version.lua, before the scripts that
-- end all sessions of a user but few, at once.
--
-- argument kinds: those of feed entries that guards know; 1: none but the end of one session

-- Sessions that are looked at one by one. With more, nothing is done that takes longer with their
-- number: their records stay until they expire, and nothing finds them. (What other versions of this
-- program keep in such an index goes, too.)
local MOST_LOOKED_AT = 128

-- The user's sessions as {sid, key}, and fields that are another version's; or, of too many, only those
-- named in `ids`. Then how many there are.
local function sessions_in_index(is_whole, ids)
  local sessions, others, entries = {}, {}, {}
  if is_whole then
    entries = redis.call('HGETALL', index)
  elseif #ids > 0 then
    local digests = redis.call('HMGET', index, unpack(ids))
    for i, digest in ipairs(digests) do
      if digest then entries[#entries + 1], entries[#entries + 2] = ids[i], digest end
    end
  end
  for i = 1, #entries, 2 do
    local name, value = entries[i], entries[i + 1]
    if #name == SESSION_ID_BYTES then
      sessions[#sessions + 1] = {name, SESSION .. tag .. value, value}
    elseif name ~= VERSION_FIELD and name ~= CUT_OFF_FIELD and name ~= MEANWHILE_FIELD then
      others[#others + 1], others[#others + 2] = name, value
    end
  end
  return sessions, others
end

-- Each of the joined `ids` but `other`; and which of them came since the latest change was announced.
local function split(ids, other)
  local each, latest = {}, {}
  for start = 1, #ids, SESSION_ID_BYTES do
    local id = ids:sub(start, start + SESSION_ID_BYTES - 1)
    if id == ANNOUNCED then
      latest = {}
    elseif id ~= other then
      each[#each + 1], latest[id] = id, true
    end
  end
  return each, latest
end

-- Which of these sessions live and were opened by the version `least` of the row or a later one; and
-- `kept`, which counts as opened by that version from now on. Later ones are those that `came` meanwhile,
-- if that is known: in a user store that has gone back, a number above is not a later one.
local function staying(sessions, kept, least, before, came)
  local stay = {}
  for start = 1, #sessions, 100 do
    local keys = {}
    for i = start, math.min(start + 99, #sessions) do keys[#keys + 1] = sessions[i][2] end
    for i, record in ipairs(redis.call('MGET', unpack(keys))) do
      local session = sessions[start + i - 1]
      local generation, opened, used, life, proof, last_proof, row, flags, client
      if record and not is_over(record, before) then
        generation, opened, used, life, proof, last_proof, row, flags, client = unpack_record(record)
      end
      local counts = row and (row == least or row > least and (not came or came[session[1]]))
      if row and (counts or session[1] == kept) then
        stay[session[1]] = true
        if row < least then
          redis.call('SET', session[2], pack_record(generation, opened, used, life, proof, last_proof,
            least, flags, client), 'KEEPTTL')
        end
      end
    end
  end
  return stay
end

-- End these sessions. Return how many of them have lived.
local function end_each(ended, before)
  local keys, handoffs, over = {}, {}, 0
  for i, session in ipairs(ended) do
    keys[i], handoffs[i] = session[2], HANDOFF .. tag .. session[1]
  end
  if #keys == 0 then return 0 end
  if before then
    for _, record in ipairs(redis.call('MGET', unpack(keys))) do
      if record and is_over(record, before) then over = over + 1 end
    end
  end
  redis.call('UNLINK', unpack(handoffs))
  return redis.call('UNLINK', unpack(keys)) - over
end

-- The same, told to guards that know of single sessions only. Return the number of the last entry, too.
local function end_one_by_one(ended)
  local count, number = 0, 0
  for _, session in ipairs(ended) do
    redis.call('DEL', HANDOFF .. tag .. session[1])
    if redis.call('DEL', session[2]) == 1 then
      number = tell_guards('s', session[1])
      count = count + 1
    end
  end
  return count, number
end

-- These ids in hex, with blanks between.
local function in_hex(ids)
  local texts = {}
  for i, id in ipairs(ids) do texts[i] = hex(id) end
  return table.concat(texts, ' ')
end

-- Which of these sessions live, to be ended now, and which ones stay: the event `...` with fields that
-- name them. For relying parties, which have to be told of each (relying_parties/endings.py).
local function with_names(sessions, before, stay_ids, ...)
  local fields, keys, living = {...}, {}, {}
  for i, session in ipairs(sessions) do keys[i] = session[2] end
  for i, record in ipairs(#keys > 0 and redis.call('MGET', unpack(keys)) or {}) do
    if record and not is_over(record, before) then living[#living + 1] = sessions[i][1] end
  end
  if #living > 0 then fields[#fields + 1], fields[#fields + 2] = 'sessions', in_hex(living) end
  if #stay_ids > 0 then fields[#fields + 1], fields[#fields + 2] = 'kept', in_hex(stay_ids) end
  return fields
end

-- Tell the guards of the bucket that this user's sessions that were opened by `t` have ended, but few.
local function tell_of_cut_off(t, stay_ids)
  local uid = index:sub(-USER_ID_BYTES)
  if #stay_ids == 0 then return tell_guards('u', uid, 't', t) end
  return tell_guards('u', uid, 't', t, 'k', table.concat(stay_ids))
end

-- Write the user's index anew: these fields, the time of the cut-off, and what is `noted` of the row. It
-- lives as long as the one before, or as somebody may still sign in by a row that was read before the
-- change.
local function write_index(now, fields, t, noted, meanwhile)
  local expiry = now + LONGEST_CHANGE
  if #fields > 0 then expiry = math.max(expiry, redis.call('PEXPIRETIME', index)) end
  fields[#fields + 1], fields[#fields + 2] = CUT_OFF_FIELD, t
  if noted then fields[#fields + 1], fields[#fields + 2] = VERSION_FIELD, noted end
  if #meanwhile > 0 then fields[#fields + 1], fields[#fields + 2] = MEANWHILE_FIELD, meanwhile end
  redis.call('UNLINK', index)
  for start = 1, #fields, 1000 do
    redis.call('HSET', index, unpack(fields, start, math.min(start + 999, #fields)))
  end
  redis.call('PEXPIREAT', index, expiry)
end

-- Publish the version, if there is one. Return what is noted of the row then, and the ids of those that
-- stay of the sessions that were opened while it goes on changing.
local function published(version, noted, meanwhile, stay)
  local left = {}
  if version ~= '' then
    publish(version)
    noted = redis.call('HGET', index, VERSION_FIELD) or version
  end
  if noted and noted:match(CHANGING) then
    for start = 1, #meanwhile, SESSION_ID_BYTES do
      local id = meanwhile:sub(start, start + SESSION_ID_BYTES - 1)
      if stay[id] or id == ANNOUNCED then left[#left + 1] = id end
    end
  end
  return noted, table.concat(left)
end

-- End the user's sessions, but for the one with the id `kept` ('' for none) and those that were opened
-- by the version `least` of their row or a later one ('' for none). `version`: that of the row, which
-- is published in the same step; '' where it is not known. Then write the event `what`, with the count
-- and further fields. Return how many have ended, and the number of the last entry in the feed; where
-- none has and no version is told, nothing is written, and the number is 0.
--
-- Guards know no rows. They are told a time, and refuse the user's sessions that were opened by then,
-- but for those that stay: T is at least that of any session that has ended, and open.lua stamps each
-- later one with more. It is that of the event's id, which goes on where Redis' clock was put back.
local function cut_off(kept, least, version, what, ...)
  local now = now_ms()
  if version ~= '' then version_state() end -- that it can be read, before anything is written
  local size = redis.call('HLEN', index)
  local known = redis.call('HMGET', index, VERSION_FIELD, CUT_OFF_FIELD, MEANWHILE_FIELD)
  local last, meanwhile = tonumber(known[2] or 0), known[3] or ''
  local own_fields = (known[1] and 1 or 0) + (known[2] and 1 or 0) + (known[3] and 1 or 0)
  local is_small = size - own_fields <= MOST_LOOKED_AT
  -- Those opened by the new row are noted while it changes; once it has, or if they are too many, they
  -- may be any.
  local are_noted = version ~= '' and (known[1] or ''):match(CHANGING)
    and #meanwhile < SESSION_ID_BYTES * MOST_MEANWHILE
  local may_be_any = least ~= '' and not are_noted
  local ids, latest = split(least ~= '' and meanwhile or '', kept)
  if kept ~= '' then ids[#ids + 1] = kept end
  local is_whole = is_small or may_be_any or kinds == 1
  local sessions, fields = sessions_in_index(is_whole, ids)
  local marks = redis.call('MGET', BEFORE .. tag:sub(1, 4), events .. PARTIES)
  local before, has_parties = marks[1], marks[2]
  local came = not may_be_any and latest or nil
  local stay = least ~= '' and staying(sessions, kept, tonumber(least), before, came)
    or {[kept] = true}

  local ended, stay_ids = {}, {}
  for _, session in ipairs(sessions) do
    if stay[session[1]] then
      stay_ids[#stay_ids + 1] = session[1]
      fields[#fields + 1], fields[#fields + 2] = session[1], session[3]
    else
      ended[#ended + 1] = session
    end
  end
  local count, number, fields_of_event = nil, nil, {...}
  if has_parties then
    fields_of_event = with_names(is_small and ended or {}, before, stay_ids, ...)
  end
  if kinds == 1 then
    count, number = end_one_by_one(ended)
  elseif is_small then
    count = end_each(ended, before)
  else
    count = is_whole and #ended or size - own_fields - #stay_ids
  end
  if count == 0 and version == '' then return 0, 0 end

  local noted, meanwhile_left = published(version, known[1], meanwhile, stay)
  local at = emit(what, 'count', count, unpack(fields_of_event)):match('^%d+')
  local t = string.format('%.0f', math.max(now, tonumber(at), last + 1, (before or 0) + 1))
  if kinds ~= 1 then number = tell_of_cut_off(t, stay_ids) end
  write_index(now, fields, t, noted, meanwhile_left)
  return count, number
end
