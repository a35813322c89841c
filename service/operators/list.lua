-- List the living sessions of a user: {{session id, record, expires at in ms}, …}

local ids, records, keys = all_living()
local rows = {}
for i = 1, #ids do rows[i] = {ids[i], records[i], redis.call('PEXPIRETIME', keys[i])} end
return rows
