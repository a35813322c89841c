-- End all sessions of a user, or all but few: cut_off.lua, at the word of the service or an operator.
--
-- keep_id: id of the session that stays, or ''    from_version, row_version: `least` and `version` of cut_off.lua
-- event, reason, by: of the event; the latter two are left out where they are ''
-- Outcome: {how many have ended, the number of the last entry in the feed, 0 if there is none}

local told = {}
if reason ~= '' then told = {'reason', reason} end
if by ~= '' then told[#told + 1], told[#told + 2] = 'by', by end
return {cut_off(keep_id, from_version, row_version, event, unpack(told))}
