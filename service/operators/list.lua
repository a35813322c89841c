-- List the living sessions of a user: {{session id, record, expires at in ms}, …}

local rows = {}
for i, session in ipairs((all_living())) do
  rows[i] = {session[1], session[2], redis.call('PEXPIRETIME', session[3])}
end
return rows
