-- End all sessions of a user, or all but few, at the word of the service or an operator; before cut_off.lua,
-- which does it.
--
-- keep_id: id of the session that stays, or ''    from_version, row_version: `least` and `version` there
-- event, reason, by: of the event; the latter two are left out where they are ''
-- Where all but `keep_id` have ended before, the version is only published, and that is told to nobody.

if keep_id ~= '' and row_version ~= '' and event == 'user.sessionsEnded' then
  local others = redis.call('HLEN', index)
  local known = redis.call('HMGET', index, keep_id, VERSION_FIELD, CUT_OFF_FIELD, MEANWHILE_FIELD)
  for _, value in ipairs(known) do
    if value then others = others - 1 end
  end
  if others == 0 then
    publish(row_version)
    return {0, 0}
  end
end
local kept, least, version, what, fields = keep_id, from_version, row_version, event, {}
if reason ~= '' then fields = {'reason', reason} end
if by ~= '' then fields[#fields + 1], fields[#fields + 2] = 'by', by end
